"""One notification per idempotency key, and how to tell whether a call is the same as the first one."""

import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db import models
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext as _

from sms_services.models import SmsService, SmsTemplate

from .audience import Audience, sql_of
from .exceptions import IdempotencyConflict, InvalidIdempotencyKey
from .models import Notification, NotificationPreset
from .models.notifications import NotificationQuerySet
from .variables import Variables

LONGEST = 200


def check_key(key: Any) -> None:
    """Raise ``InvalidIdempotencyKey`` unless it is a string that every database keeps as it is."""
    if key is None:
        return
    if not isinstance(key, str):
        raise InvalidIdempotencyKey(f"An idempotency key is a string, not something of the type {type(key).__name__}.")
    if not key or len(key) > LONGEST:
        raise InvalidIdempotencyKey(f"An idempotency key has 1 to {LONGEST} characters; this one has {len(key)}.")
    if not key.isprintable() or key != key.strip():
        raise InvalidIdempotencyKey("An idempotency key has no spaces around it and no invisible characters.")


def description_of(
    key: str,
    preset: NotificationPreset | str | None,
    audience: Audience,
    include_subdepartments: bool | None,
    service: SmsService | str | None,
    template: SmsTemplate | str | None,
    variables: Variables,
    times: Mapping[str, datetime | None],
) -> str:
    """Everything that a call said, in one order: what its fingerprint is made of."""
    users = (
        sql_of(audience.users) if isinstance(audience.users, models.QuerySet) else [str(pk) for pk in audience.users]
    )
    return json.dumps(
        {
            "key": key,
            "preset": getattr(preset, "key", preset),
            "users": users,
            "departments": audience.departments,
            "roles": audience.roles,
            "include_subdepartments": include_subdepartments,
            "service": getattr(service, "key", service),
            "template": _name(template),
            "variables": dict(variables.literals),
            "fields": dict(variables.fields),
            **{name: moment.astimezone(UTC).isoformat() if moment else None for name, moment in times.items()},
        },
        sort_keys=True,
    )


def fingerprint(description: str, secret: str | None = None) -> str:
    """A keyed hash: variables may be guessable, such as a code of six digits."""
    return salted_hmac("notifications.idempotency", description, secret=secret, algorithm="sha256").hexdigest()


def digest_of(key: str) -> str:
    """By which a key is found: to the letter, where a database's collation would take similar ones for equal."""
    return hashlib.sha256(key.encode()).hexdigest()


def first_with(rows: NotificationQuerySet, key: str, description: str) -> Notification | None:
    """The notification among these that has this key; ``None`` if there is none yet.

    Raises:
        IdempotencyConflict: it was made with other arguments.
    """
    found = rows.filter(idempotency_digest=digest_of(key)).first()
    if found is None:
        return None
    secrets = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    if any(hmac.compare_digest(found.fingerprint, fingerprint(description, secret)) for secret in secrets):
        return found
    raise IdempotencyConflict(
        _("Notification %d has this idempotency key already, and was made with other arguments.") % found.pk, found.pk
    )


def _name(template: SmsTemplate | str | None) -> Any:
    if isinstance(template, SmsTemplate) and template.pk is None:
        return [template.purpose, template.text, template.variables]
    return getattr(template, "key", template)
