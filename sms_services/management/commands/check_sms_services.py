"""``manage.py check_sms_services``: asks every active service's provider whether its credentials work."""

import argparse
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ...exceptions import SmsError
from ...models import SmsService
from ...providers import get_provider
from ...providers.base import Verification


class Command(BaseCommand):
    help = "Verify the credentials of all active SMS services, without sending. Exits with 1 when any is wrong."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("keys", nargs="*", help="only the services with these keys")

    def handle(self, *args: Any, **options: Any) -> None:
        services = SmsService.objects.filter(is_active=True)
        if options["keys"]:
            services = services.filter(key__in=options["keys"])
            missing = set(options["keys"]) - set(services.values_list("key", flat=True))
            if missing:
                raise CommandError(f"No active SMS service has the key {', '.join(sorted(missing))}.")
        wrong = [service for service in services if not self._verify(service)]
        if wrong:
            raise CommandError(f"{len(wrong)} of {len(services)} services cannot send.")
        count = len(services)
        self.stdout.write(self.style.SUCCESS(f"{count} service{'' if count == 1 else 's'} can send."))

    def _verify(self, service: SmsService) -> bool:
        try:
            answer = get_provider(service).verify()
        except SmsError as error:
            answer = Verification(ok=False, detail=str(error))
        service.keep_verification(answer)
        details = ", ".join(f"{label}: {value}" for label, value in answer.details)
        if answer.ok:
            self.stdout.write(f"{service.key}: OK{f' ({details})' if details else ''}")
        else:
            words = " ".join(str(part) for part in (answer.code, answer.detail, answer.advice) if part)
            self.stdout.write(self.style.ERROR(f"{service.key}: {words}"))
        return answer.ok
