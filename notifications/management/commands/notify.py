"""``manage.py notify``: what ``notify()`` does, with a progress bar."""

import argparse
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db.models import F
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from sms_services.exceptions import SmsError

from ...api import notify
from ...choices import NotificationStatus
from ...composing import checked_call, composed
from ...models import Department, Notification
from ...models.notifications import Counts
from ...rows import notifications
from ...summary import summary_of

#: Characters of the bar.
_WIDTH = 30
#: Seconds between two looks.
_PAUSE = 2.0
_ENDED = ("sent", "delivered", "undelivered", "failed", "unknown", "skipped")


class Command(BaseCommand):
    help = (
        "Text users, departments and roles, each person once, and show how far it is. Ctrl-C ends the display, not the "
        "sending. Exits with 1 when a message failed or is in doubt, or when it was cancelled."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("preset", nargs="?", help="the key of a preset; the options override its parts")
        several: dict[str, Any] = {"action": "append", "metavar": "NAME"}
        parser.add_argument("--user", **several, help="a user's name or id; may be given many times")
        parser.add_argument("--department", **several, help="a department's name or id; may be given many times")
        parser.add_argument("--role", **several, help="a role's name or id; may be given many times")
        below = parser.add_mutually_exclusive_group()
        below.add_argument(
            "--include-subdepartments",
            action="store_const",
            const=True,
            help="the departments and all below them; the default, unless a preset says otherwise",
        )
        below.add_argument(
            "--no-subdepartments",
            dest="include_subdepartments",
            action="store_const",
            const=False,
            help="only the departments themselves",
        )
        parser.add_argument("--service", help="the key of an SMS service")
        parser.add_argument("--template", help="a template's key, or its code at the service")
        parser.add_argument(
            "--var", action="append", default=[], metavar="NAME=VALUE", help="a variable; may be given many times"
        )
        parser.add_argument(
            "--field",
            action="append",
            default=[],
            metavar="NAME=FIELD",
            help="a variable that is looked up on each recipient, such as name=first_name",
        )
        parser.add_argument("--idempotency-key", metavar="KEY", help="a second call with the same key sends nothing")
        parser.add_argument("--send-at", metavar="TIME", help="not before; ISO 8601, in the project's time zone")
        parser.add_argument("--expires-at", metavar="TIME", help="not after")
        parser.add_argument("--dry-run", action="store_true", help="send nothing, say how many people it would reach")
        parser.add_argument("--no-wait", action="store_true", help="leave it to the workers and return at once")

    def handle(self, *args: Any, **options: Any) -> None:
        given: dict[str, Any] = {
            "users": _users(options["user"]),
            "departments": _ids("department", options["department"], Department),
            "roles": _ids("role", options["role"], Group),
            "service": options["service"],
            "template": options["template"],
            "variables": {**_pairs(options["var"], str), **_pairs(options["field"], F)},
            "idempotency_key": options["idempotency_key"],
            "send_at": _moment("--send-at", options["send_at"]),
            "expires_at": _moment("--expires-at", options["expires_at"]),
            "include_subdepartments": options["include_subdepartments"],
        }
        try:
            if options["dry_run"]:
                self._say_whom_it_would_reach(options["preset"], given)
                return
            notification = notify(*[options["preset"]] * bool(options["preset"]), **given)
        except SmsError as error:
            raise CommandError(str(error)) from None
        self._follow(notification, options["no_wait"])

    def _say_whom_it_would_reach(self, preset: str | None, given: dict[str, Any]) -> None:
        notification, audience = composed(checked_call(preset, **given, created_by=None))
        for name, count in asdict(summary_of(audience, notification.recipient_fields.values())).items():
            self.stdout.write(f"{name.replace('_', ' ')}: {count}")
        self.stdout.write("Nothing was sent.")

    def _follow(self, notification: Notification, no_wait: bool) -> None:
        if notification.status == NotificationStatus.SCHEDULED:
            self.stdout.write(f"Notification {notification.pk} is scheduled.")
            return
        if no_wait:
            self.stdout.write(f"Notification {notification.pk} is on its way.")
            return
        try:
            status, counts = self._watch(notification)
        except KeyboardInterrupt:
            self.stdout.write(f"\nNotification {notification.pk} goes on; admin shows how far it is, and stops it.")
            return
        self.stdout.write(f"Notification {notification.pk}: {_described(counts)}.")
        if status == NotificationStatus.CANCELLED:
            raise CommandError(f"Notification {notification.pk} was cancelled. What has not left is skipped.")
        if bad := counts["failed"] + counts["undelivered"] + counts["unknown"]:
            raise CommandError(f"{bad} of {counts['total']} did not arrive or are in doubt.")

    def _watch(self, notification: Notification) -> tuple[str, Counts]:
        """Show the bar until nothing is under way any more, or it is cancelled; returns the last status and counts."""
        in_place = self.stdout.isatty()
        shown = ""
        while True:
            state = notifications().only("status", "expanded_at", "problem").get(pk=notification.pk)
            counts = state.counts()
            line = _line(state, counts)
            if line != shown:
                self.stdout.write(f"\r{line:<{len(shown)}}" if in_place else line, ending="" if in_place else "\n")
                self.stdout.flush()
                shown = line
            ended = state.expanded_at and not counts["queued"] and not counts["sending"]
            if ended or state.status == NotificationStatus.CANCELLED:
                self.stdout.write("\n" if in_place else "", ending="")
                return state.status, counts
            time.sleep(_PAUSE)


def _line(state: Notification, counts: Counts) -> str:
    """How far it is, and what keeps it from going on."""
    line = _bar(counts, resolved=state.expanded_at is not None)
    if state.status in (NotificationStatus.PAUSED, NotificationStatus.CANCELLED):
        line = f"{line} ({state.status})"
    return f"{line}. {state.problem_words}" if state.problem_words else line


def _bar(counts: Counts, *, resolved: bool) -> str:
    done, total = sum(counts[name] for name in _ENDED), counts["total"]
    if not resolved:
        return f"Finding the recipients: {total} so far, {done} done"
    full = _WIDTH * done // total if total else _WIDTH
    return f"[{'#' * full}{'.' * (_WIDTH - full)}] {done} of {total}"


def _described(counts: Counts) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count and name != "total") or "nobody"


def _users(given: list[str] | None) -> list[Any] | None:
    model: Any = get_user_model()
    return _ids("user", given, model, model.USERNAME_FIELD)


def _ids(option: str, given: list[str] | None, model: Any, name_field: str = "name") -> list[Any] | None:
    """The ids of objects that are named, or numbered. A name that several have is none."""
    if given is None:
        return None
    found = []
    for name in given:
        pks = list(model._base_manager.filter(**{name_field: name}).values_list("pk", flat=True)[:2])
        if not pks:
            try:
                pks = list(model._base_manager.filter(pk=name).values_list("pk", flat=True))
            except (ValueError, ValidationError):  # it cannot be a key at all
                pks = []
        if len(pks) != 1:
            why = "There are several of this name; give the id" if pks else "There is none of this name or id"
            raise CommandError(f"--{option} {name}: {why}.")
        found += pks
    return found


def _pairs(pairs: list[str], read: Callable[[str], Any]) -> dict[str, Any]:
    values = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator:
            raise CommandError(f"Write variables as NAME=VALUE, not {name!r}.")
        values[name] = read(value)
    return values


def _moment(option: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = parse_datetime(text)
    except ValueError:
        moment = None
    if moment is None:
        raise CommandError(f"{option}: write a time as 2030-12-31T18:00, with or without a zone.")
    return timezone.make_aware(moment) if timezone.is_naive(moment) else moment
