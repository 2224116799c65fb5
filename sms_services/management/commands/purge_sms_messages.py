"""``manage.py purge_sms_messages``: deletes messages that are older than their purpose's retention."""

import argparse
from collections import Counter
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from ...purging import BATCH, purge


class Command(BaseCommand):
    help = (
        "Delete messages that are older than SMS_SERVICES['RETENTION_DAYS'] says for their purpose. What is still to "
        "be sent or looked up stays. Safe to interrupt and to repeat, and while messages are being sent."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--dry-run", action="store_true", help="only say how many there are, those that other apps protect included"
        )
        parser.add_argument(
            "--batch-size", type=int, default=BATCH, help=f"messages per transaction (default: {BATCH})"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["batch_size"] < 1:
            raise CommandError("--batch-size is at least 1.")
        counts: Counter[str] = Counter()
        interrupted = False
        try:
            for name, count in purge(batch_size=options["batch_size"], dry_run=options["dry_run"]):
                counts[name] += count
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from None
        except KeyboardInterrupt:
            interrupted = True
        done = "would be deleted" if options["dry_run"] else "deleted"
        for name, count in sorted(counts.items()):
            self.stdout.write(f"{name}: {count} {done}")
        self.stdout.write(f"{counts.total()} messages {done}.")
        if interrupted:
            raise CommandError("Interrupted. Call it again to go on.")
