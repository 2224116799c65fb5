"""Messages for tests of the log, and people with just the permissions that a test names."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.models import Permission, User
from django.urls import reverse
from django.utils import timezone

from sms_services.models import SandboxSms, SmsAttempt, SmsMessage, SmsTemplate

NUMBER = "+12065550123"
MASKED = "+1 206****0123"
NAME = "Zq7Kx9Alexandra"
LIST = "/admin/sms_services/smsmessage/"
#: How the number might slip through, and the text with its variable.
PRIVATE = (NUMBER, NUMBER[1:], NUMBER[2:], "206-555-0123", NAME, f"Hello {NAME}")


def a_service(**changes: Any) -> SandboxSms:
    fields = {"key": "sandbox", "name": "Sandbox", **changes}
    return SandboxSms.objects.get_or_create(key=fields["key"], defaults=fields)[0]


def a_message(**changes: Any) -> SmsMessage:
    """A failed notification to NUMBER, unless said otherwise."""
    fields: dict[str, Any] = {
        "service": changes.get("service") or a_service(),
        "phone_number": NUMBER,
        "purpose": "notification",
        "text": "Hello ${name}",
        "params": {"name": NAME},
        "status": "failed",
        "error_kind": "recipient",
        "provider_code": "21614",
        "sweep_at": None,
    }
    return SmsMessage.objects.create(**{**fields, **changes})


def a_failed_try(message: SmsMessage, outcome: str = "refused") -> SmsAttempt:
    now = timezone.now()
    return SmsAttempt.objects.create(
        message=message, service_id=message.service_id, outcome=outcome, started_at=now, finished_at=now
    )


def many_messages(count: int, **changes: Any) -> list[SmsMessage]:
    """Messages a second apart, the last one the newest."""
    service, now = a_service(), timezone.now()
    fields = {"purpose": "notification", "text": "Hello", "status": "sent", "sweep_at": None, **changes}
    rows = [
        SmsMessage(
            service=service,
            phone_number=f"+861380000{number % 10_000:04}",
            created_at=now - timedelta(seconds=count - number),
            **fields,
        )
        for number in range(count)
    ]
    return SmsMessage.objects.bulk_create(rows, batch_size=1000)


def log_in(client: Any, *codenames: str, name: str = "clerk") -> User:
    """A member of staff with these permissions and no others."""
    user = User.objects.create_user(name, password=name, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client.force_login(user)
    return user


def page_of(message: SmsMessage, view: str = "change") -> str:
    return reverse(f"admin:sms_services_smsmessage_{view}", args=[message.pk])


def searched(client: Any, typed: str, **query: str) -> Any:
    """The page to which the list's search form leads; ``query`` is what stands in the list's address."""
    answer = client.post(f"{LIST}search/?{urlencode(query)}", {"q": typed})
    assert answer.status_code == 302
    return client.get(answer["Location"])


def assert_private(page: str) -> None:
    for words in PRIVATE:
        assert words not in page, words


def template(**changes: Any) -> SmsTemplate:
    fields = {"key": "hello", "name": "Hello", "text": "Hello ${name}", "purpose": "notification", **changes}
    return SmsTemplate.objects.create(**fields)
