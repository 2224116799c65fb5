"""``manage.py send_sms``: one text to one or many numbers, with a table of outcomes."""

import argparse
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ...advice import advice_for
from ...api import queue_message, send_message
from ...choices import MessageStatus, Purpose
from ...exceptions import SmsError
from ...models import SmsMessage, SmsTemplate
from ...phone_numbers import mask


class Command(BaseCommand):
    help = "Send a text through an SMS service. Exits with 1 when any message failed or is in doubt."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("service", help="the key of an SMS service")
        parser.add_argument("numbers", nargs="+", help="phone numbers, in any notation")
        wording = parser.add_mutually_exclusive_group(required=True)
        wording.add_argument("--template", help="a template's key, or a code that the service's platform knows")
        wording.add_argument("--text", help="a text, instead of a template; may hold ${name} variables")
        parser.add_argument(
            "--var", action="append", default=[], metavar="NAME=VALUE", help="a variable; may be given many times"
        )
        parser.add_argument(
            "--purpose", choices=Purpose.values, help="with --text (default: notification), or a code without template"
        )
        parser.add_argument("--queue", action="store_true", help="leave the sending to the workers")

    def handle(self, *args: Any, **options: Any) -> None:
        template = options["template"]
        if options["text"]:
            template = SmsTemplate(text=options["text"], purpose=options["purpose"] or Purpose.NOTIFICATION)
        call = queue_message if options["queue"] else send_message
        try:
            messages = call(
                options["service"],
                options["numbers"],
                template,
                _variables(options["var"]),
                purpose=None if options["text"] else options["purpose"],
            )
        except SmsError as error:
            raise CommandError(str(error)) from None
        self._print_table(messages)
        bad = [m for m in messages if m.status in {MessageStatus.FAILED, MessageStatus.UNKNOWN}]
        if bad:
            raise CommandError(f"{len(bad)} of {len(messages)} messages did not go out or are in doubt.")

    def _print_table(self, messages: list[SmsMessage]) -> None:
        rows = [("number", "status", "kind", "code", "what to do")]
        for message in messages:
            advice = str(advice_for(message))
            rows.append((mask(message.phone_number), message.status, message.error_kind, message.provider_code, advice))
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        for row in rows:
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
            self.stdout.write("  ".join([*cells, row[4]]).rstrip())


def _variables(pairs: list[str]) -> dict[str, str]:
    variables = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator:
            raise CommandError(f"Write variables as NAME=VALUE, not {name!r}.")
        variables[name] = value
    return variables
