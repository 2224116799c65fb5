"""``manage.py purge_notifications``: deletes notifications that are older than their retention."""

import argparse
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from ...purging import BATCH, purge


class Command(BaseCommand):
    help = (
        "Delete notifications that ended more than NOTIFICATIONS['RETENTION_DAYS'] ago, with their recipients. "
        "Messages have a retention of their own (purge_sms_messages). Safe to interrupt and to repeat."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="only say how many there are")
        parser.add_argument("--batch-size", type=int, default=BATCH, help=f"rows per transaction (default: {BATCH})")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["batch_size"] < 1:
            raise CommandError("--batch-size is at least 1.")
        count = 0
        interrupted = False
        try:
            for _ in purge(batch_size=options["batch_size"], dry_run=options["dry_run"]):
                count += 1
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from None
        except KeyboardInterrupt:
            interrupted = True
        self.stdout.write(f"{count} notifications {'would be deleted' if options['dry_run'] else 'deleted'}.")
        if interrupted:
            raise CommandError("Interrupted. Call it again to go on.")
