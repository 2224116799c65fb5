"""From a call of ``notify()`` to a notification that can be stored: everything is checked here, nothing is written."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from sms_services.api import resolve
from sms_services.choices import Purpose
from sms_services.exceptions import InvalidParams, UnusableTemplate
from sms_services.models import SmsService, SmsTemplate, TemplateCode
from sms_services.placeholders import render
from sms_services.providers.base import OutgoingMessage

from .audience import Audience, audience_of, audience_of_preset, check_existence
from .choices import NotificationStatus
from .exceptions import IncompleteNotification, InvalidArgument, InvalidTime, NoRecipients, UnknownPreset
from .idempotency import check_key, description_of, fingerprint
from .models import Notification, NotificationPreset
from .rows import database
from .variables import Variables, checked_variables, frozen

#: Fictional numbers of a country with rules of its own, and of another one.
_SAMPLE_NUMBERS = ("+8613800000000", "+12065550100")


@dataclass(frozen=True)
class Call:
    """What a call said, each argument checked by itself."""

    preset: NotificationPreset | None
    audience: Audience
    include_subdepartments: bool | None
    service: SmsService | str | None
    template: SmsTemplate | str | None
    variables: Variables
    idempotency_key: str | None
    send_at: datetime | None
    expires_at: datetime | None
    created_by: Any

    @property
    def description(self) -> str:
        """The same for two calls that say the same. What a preset holds is not part of it."""
        return description_of(
            self.idempotency_key or "",
            self.preset,
            self.audience,
            self.include_subdepartments,
            self.service,
            self.template,
            self.variables,
            {"send_at": self.send_at, "expires_at": self.expires_at},
        )


def checked_call(
    preset: Any,
    *,
    users: Any,
    departments: Any,
    roles: Any,
    service: Any,
    template: Any,
    variables: Any,
    idempotency_key: Any,
    send_at: Any,
    expires_at: Any,
    include_subdepartments: Any,
    created_by: Any,
) -> Call:
    """Check each argument. Raises as ``notify`` does."""
    check_key(idempotency_key)
    for name, moment in (("send_at", send_at), ("expires_at", expires_at)):
        _check_moment(name, moment)
    if created_by is not None and (not isinstance(created_by, get_user_model()) or created_by.pk is None):
        raise InvalidArgument(f"created_by= is a saved user, not something of the type {type(created_by).__name__}.")
    included = True if include_subdepartments is None else include_subdepartments
    return Call(
        preset=_preset(preset),
        audience=audience_of(users, departments, roles, included),
        include_subdepartments=include_subdepartments,
        service=service,
        template=template,
        variables=checked_variables(variables),
        idempotency_key=idempotency_key,
        send_at=send_at,
        expires_at=expires_at,
        created_by=created_by,
    )


def composed(call: Call) -> tuple[Notification, Audience]:
    """An unsaved notification, without its batch, and whom it is for. Raises as ``notify`` does."""
    _check_times(call)
    audience = _audience(call)
    service, template, registration = _text(call)
    variables = _variables(call, template)
    _check_for_provider(service, template, registration, variables)
    notification = Notification(
        key=call.preset.key if call.preset else "",
        idempotency_key=call.idempotency_key,
        fingerprint=fingerprint(call.description) if call.idempotency_key else "",
        created_by=call.created_by,
        include_subdepartments=audience.include_subdepartments,
        service_id=service.pk,
        template_id=template.pk,
        purpose=template.purpose,
        text=template.text,
        template_code=registration.code,
        template_kind=registration.platform_kind,
        status=_status_at_first(call),
        send_at=call.send_at,
        expires_at=call.expires_at,
    )
    frozen(notification, variables)
    return notification, audience


def _preset(given: Any) -> NotificationPreset | None:
    """A preset as it is now."""
    if given is None:
        return None
    if not isinstance(given, NotificationPreset | str):
        raise UnknownPreset(
            f"A preset is a NotificationPreset or its key, not something of the type {type(given).__name__}."
        )
    key = given.key if isinstance(given, NotificationPreset) else given
    rows = NotificationPreset.objects.using(database())
    preset = rows.select_related("template").filter(key=key).first()
    if preset is None:
        known = ", ".join(rows.order_by("key").values_list("key", flat=True)[:10]) or "none yet"
        shown = key if len(key) <= 50 and key.replace("-", "").replace("_", "").isalnum() and not key.isdigit() else "…"
        raise UnknownPreset(f"There is no preset with the key {shown!r}. Known keys: {known}.")
    return preset


def _audience(call: Call) -> Audience:
    """The call's recipients, else the preset's."""
    audience = call.audience
    if not audience.kinds:
        if call.preset is None:
            raise NoRecipients("No recipients were given. Give users=, departments= or roles=.")
        audience = audience_of_preset(call.preset)
        if not audience.kinds:
            raise NoRecipients(_("The preset “%s” has no recipients. Choose some in admin.") % call.preset)
    if call.preset is not None:
        given = call.include_subdepartments
        included = call.preset.include_subdepartments if given is None else given
        audience = Audience(audience.users, audience.departments, audience.roles, included)
    check_existence(audience)
    return audience


def _text(call: Call) -> tuple[SmsService, SmsTemplate, TemplateCode]:
    preset = call.preset
    # Only its primary key counts: its row is read anew.
    service = call.service if call.service is not None else preset and SmsService(pk=preset.service_id)
    template = call.template if call.template is not None else preset and preset.template
    for name, found in (("service", service), ("template", template)):
        if found is None:
            raise IncompleteNotification(f"Neither {name}= nor a preset says which {name} to use.")
    service, template, registration = resolve(service, template)  # type: ignore[arg-type]
    if template.purpose == Purpose.OTP:
        raise UnusableTemplate(_("The template “%s” is for one-time codes, which are never sent to many.") % template)
    return service, template, registration


def _variables(call: Call, template: SmsTemplate) -> Variables:
    variables = call.variables
    if call.preset is not None:
        looked_up = {name: F(path) for name, path in call.preset.recipient_fields.items()}
        preset = checked_variables({**call.preset.variables, **looked_up})  # the settings may have changed since
        # A template that was changed, or that the call gives, may no longer have all that the preset fills in.
        variables = preset.only(template.variable_names).overridden_by(variables)
    if template.pk or template.text:
        template.check_params(variables.sample())
    return variables


def _check_for_provider(
    service: SmsService, template: SmsTemplate, registration: TemplateCode, variables: Variables
) -> None:
    """Refuse what the provider would take for no number at all, such as a text that is too long."""
    provider = service.build_provider()
    params = variables.sample()
    problems = [
        provider.problem_with(
            OutgoingMessage(
                phone_number=number,
                purpose=template.purpose,
                text=render(template.text, params),
                template_code=registration.code,
                params=params,
                template_kind=registration.platform_kind,
            )
        )
        for number in _SAMPLE_NUMBERS
    ]
    if all(problems):
        raise InvalidParams(str(problems[0]))


def _check_moment(name: str, moment: Any) -> None:
    if moment is None:
        return
    if not isinstance(moment, datetime):
        raise InvalidTime(f"{name}= is a datetime, not something of the type {type(moment).__name__}.")
    if timezone.is_naive(moment):
        raise InvalidTime(f"{name}= has no time zone. Use django.utils.timezone.make_aware().")


def _check_times(call: Call) -> None:
    if call.expires_at is None:
        return
    if call.expires_at <= timezone.now():
        raise InvalidTime(_("The time after which nothing may be sent has passed already."))
    if call.send_at is not None and call.expires_at <= call.send_at:
        raise InvalidTime(_("Nothing could be sent: the last moment for it is before the first one."))


def _status_at_first(call: Call) -> NotificationStatus:
    later = call.send_at is not None and call.send_at > timezone.now()
    return NotificationStatus.SCHEDULED if later else NotificationStatus.RUNNING
