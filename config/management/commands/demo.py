"""``manage.py demo``: something to see and to try, for ``make run``. What is there already stays as it is."""

import argparse
import errno
import socket
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group, Permission, User
from django.core.management.base import BaseCommand, CommandError
from django.db.models import Q

from login_mobile.models import MobileLogin, MobileNumber
from notifications.models import Department, NotificationPreset
from sms_services.api import send_message
from sms_services.choices import Purpose
from sms_services.models import SandboxSms, SmsTemplate

from ...demo_approvals import make_approvals

SERVICE = "sandbox"
TEMPLATES = {
    "login-code": ("Login code", Purpose.OTP, "Your code is ${code}. It is valid for ${minutes} minutes."),
    "approval": ("Approval", Purpose.APPROVAL, "${userNick} asks for your approval: ${processTitle}."),
    "approval-copy": ("Approval copy", Purpose.CC, "For your information, from ${userNick}: ${processTitle}."),
    "parcel": ("Parcel", Purpose.NOTIFICATION, "Your parcel ${parcel} arrives on ${day}. Track it in the app."),
    "device-alarm": (
        "Device alarm",
        Purpose.NOTIFICATION,
        "${name}, ${device} reports ${problem}. Please look.",
    ),
    "parcel-zh": ("Parcel (Chinese)", Purpose.NOTIFICATION, "您的包裹${parcel}预计${day}送达，请留意查收。"),
}
#: Texts for the sandbox's phones (fictional numbers): one that is refused, one in doubt, one per language, one with a
#: code. Those about approvals come of the requests.
TEXTS = (
    ("+12065550151", "parcel", {"parcel": "C-31", "day": "Monday"}),
    ("+12065550158", "parcel", {"parcel": "C-32", "day": "Monday"}),
    ("+8613800000011", "parcel-zh", {"parcel": "B-20", "day": "周五"}),
    ("+12065550142", "parcel", {"parcel": "D-08", "day": "Tuesday"}),
    ("+12065550123", "parcel", {"parcel": "A-17", "day": "Friday"}),
    ("+12065550123", "login-code", {"code": "493817", "minutes": "5"}),
)
#: A company: departments with the one above them, and people with number (fictional), departments and roles.
DEPARTMENTS = {"Company": None, "Operations": "Company", "Plant": "Operations", "Sales": "Company"}
ROLE = "On call"
PEOPLE = {
    "maya": ("Maya", "+12065550111", ["Operations"], True),
    "tomas": ("Tomás", "+12065550112", ["Plant"], True),
    "wei": ("伟", "+8613800000012", ["Plant", "Sales"], False),
    "leila": ("Leila", "+12065550113", ["Sales"], False),
    "jonas": ("Jonas", "+12065550114", ["Sales"], True),
    "ines": ("Inês", "", ["Plant"], False),
}


class Command(BaseCommand):
    help = "Make logins, a sandbox service, templates and a few sent texts to try the project with. Repeatable."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--force", action="store_true", help="also outside DEBUG; the passwords are well known")
        parser.add_argument("--port", type=int, help="the port that the web server is about to take, to check and show")

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEBUG and not options["force"]:
            raise CommandError(
                "This makes a superuser with a password that everybody knows, so it runs only with DEBUG=on. "
                "Use `createsuperuser` here, or --force if nobody else can reach this server."
            )
        if options["port"]:
            self._refuse_taken_port(options["port"])
        logins = [self._superuser(), self._support_user()]
        service, _ = SandboxSms.objects.get_or_create(key=SERVICE, defaults={"name": "Sandbox"})
        for key, (name, purpose, text) in TEMPLATES.items():
            SmsTemplate.objects.get_or_create(key=key, defaults={"name": name, "purpose": purpose, "text": text})
        self._mobile_login(service)
        self._make_company(service)
        if service.is_active and not service.messages.exists():
            for number, template, params in TEXTS:
                send_message(service, number, template, params)
        people = {user.username: user for user in User.objects.filter(username__in=["admin", *PEOPLE])}
        make_approvals(service, people["tomas"], [people["maya"], people["jonas"], people["admin"]], people["leila"])
        self._print_summary(options["port"], logins)

    def _refuse_taken_port(self, port: int) -> None:
        with socket.socket() as candidate:
            candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                candidate.bind(("127.0.0.1", port))
            except OSError as error:
                reason = "is taken" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
                raise CommandError(f"Port {port} {reason}. Choose another one: make run PORT={port + 1}") from None

    def _mobile_login(self, service: SandboxSms) -> None:
        """A login by phone number, for the fictional numbers of both countries."""
        if not MobileLogin.objects.exists():
            template = SmsTemplate.objects.get(key="login-code")
            fields = {"sms_service": service, "template": template, "regions": ["US", "CN"], "is_default": True}
            MobileLogin.objects.create(key="demo", name="Demonstration", ask_nickname=True, **fields)

    def _superuser(self) -> str:
        user, new = User.objects.get_or_create(username="admin", defaults={"is_staff": True, "is_superuser": True})
        if new:
            user.set_password("admin")
            user.save()
        return _login(user, "admin", "may do everything")

    def _make_company(self, service: SandboxSms) -> None:
        """Somebody to notify: departments, a role, people, and a preset for them."""
        departments: dict[str, Department] = {}
        for name, above in DEPARTMENTS.items():
            found = Department.objects.filter(name=name).first()
            if found is None and above:
                found = Department.objects.add_child(Department.objects.get(name=above), {"name": name})
            departments[name] = found or Department.objects.add_root({"name": name})
        role, _ = Group.objects.get_or_create(name=ROLE)
        for username, (first_name, number, places, on_call) in PEOPLE.items():
            user, new = User.objects.get_or_create(username=username, defaults={"first_name": first_name})
            if not new:
                continue
            if number:
                MobileNumber.objects.get_or_create(number=number, defaults={"user": user})
            for place in places:
                departments[place].members.add(user)
            if on_call:
                user.groups.add(role)
        preset, new = NotificationPreset.objects.get_or_create(
            key="device-alarm",
            defaults={
                "name": "Device alarm",
                "service": service,
                "template": SmsTemplate.objects.get(key="device-alarm"),
                "variables": {"problem": "a fault"},
                "recipient_fields": {"name": "first_name"},
            },
        )
        if new:
            preset.departments.add(departments["Operations"])
            preset.roles.add(role)

    def _support_user(self) -> str:
        user, new = User.objects.get_or_create(username="support", defaults={"is_staff": True})
        if new:
            user.set_password("support")
            user.save()
        # Each time: a model may have come since. What somebody gave the login by hand stays.
        rights = Q(codename__startswith="view_") | Q(codename__startswith="send_test_")
        user.user_permissions.add(*Permission.objects.filter(rights))
        return _login(user, "support", "may look at everything and send test texts, but change nothing")

    def _print_summary(self, port: int | None, logins: list[str]) -> None:
        address = f"http://127.0.0.1:{port or 8000}"
        self.stdout.write(
            "\n".join(
                [
                    "",
                    f"  Admin            {self.style.SUCCESS(f'{address}/admin/')}",
                    *(f"                   {login}" for login in logins),
                    f"  Sandbox inbox    {address}/sms/sandbox/",
                    "                   the texts of the demonstration, like phones on a desk",
                    f"  Mobile login     {address}/login/",
                    "                   as +1 206 555 0142; its code arrives in the sandbox inbox",
                    f"  Approvals        {address}/approvals/",
                    "                   as admin: approve the trip to Lisbon",
                    "",
                    "  Try in admin:",
                    "    1. SMS services › Sandbox: send a test text to +1 206 555 0123.",
                    "    2. Notifications: compose one to the department “Operations”, and watch it leave.",
                    "    3. Add your own Alibaba Cloud, AWS SNS or Twilio account and verify its credentials.",
                    "",
                    *(["  Ctrl-C stops everything.", ""] if port else []),
                ]
            )
        )


def _login(user: User, password: str, may: str) -> str:
    shown = password if user.check_password(password) else "(the password that you gave it)"
    return f"{user.username} / {shown} – {may}"
