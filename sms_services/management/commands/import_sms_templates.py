"""``manage.py import_sms_templates``: what differs from a platform's templates, and with ``--apply`` the import."""

import argparse
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ...exceptions import SmsError
from ...importing import Change, Comparison, apply, compare, signature_of
from ...models import SmsService


class Command(BaseCommand):
    help = "Show what differs between a service's templates and those on its platform. Writes only with --apply."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("service", help="the key of an SMS service that sends by code")
        parser.add_argument("--apply", action="store_true", help="import what is shown")

    def handle(self, *args: Any, **options: Any) -> None:
        service = SmsService.objects.filter(key=options["service"]).first()
        if service is None:
            raise CommandError(f"There is no SMS service with the key {options['service']!r}.")
        if not service.provider_class.lists_templates:
            raise CommandError(f"The provider of {service.key!r} has no list of templates.")
        try:
            comparison = compare(service)
            self._print(comparison)
            if options["apply"]:
                imported = apply(service, comparison.all_chosen)
                self.stdout.write(self.style.SUCCESS(f"{imported.count} imported."))
                for code in imported.left_alone:
                    self.stdout.write(self.style.WARNING(f"left alone: {code} was edited meanwhile; call this again."))
                self._keep_signature(service)
            elif comparison.possible:
                self.stdout.write("Nothing was written. Add --apply to import this.")
        except SmsError as error:
            raise CommandError(str(error)) from None

    def _keep_signature(self, service: SmsService) -> None:
        if signature := signature_of(service):
            service.keep_verification(signature)
            if problem := service.problem:
                self.stdout.write(self.style.WARNING(problem))

    def _print(self, comparison: Comparison) -> None:
        sections = [
            ("new", comparison.new),
            ("changed", comparison.changed),
            ("gone", comparison.gone),
            ("cannot be imported", comparison.impossible),
        ]
        for title, changes in sections:
            for change in changes:
                self.stdout.write(f"{title}: {change.code} {change.template.name}: {_facts(change)}")
                if change.changes_text:
                    self.stdout.write(f"  - {change.old_text}\n  + {change.new_text}")
        self.stdout.write(
            f"{', '.join(f'{len(changes)} {title}' for title, changes in sections)}, {comparison.unchanged} unchanged."
        )
        if comparison.left:
            self.stdout.write(f"{comparison.left} more differences are shown after this import.")


def _facts(change: Change) -> str:
    status = str(change.status.label)
    if change.current and change.current.platform_status != change.status:
        status = f"{change.old_status or 'never asked'} -> {status}"
    shared = f"also the text of {', '.join(change.shared_with)}" if change.shared_with else ""
    variables = f"its variables are now {change.new_variables}" if change.new_variables else ""
    return "; ".join(part for part in (status, change.reason, change.problem, shared, variables) if part)
