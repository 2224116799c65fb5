"""The public functions of this app.

``send_message`` tries now, ``queue_message`` leaves it to the workers; both take the same and check the same before
anything is stored. ``retry_message`` queues a message that did not arrive once more, as a new one. What a provider
says raises nothing: it is the message's status and error kind.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from django.core.exceptions import ValidationError
from django.db import IntegrityError, router, transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from .choices import MessageStatus, Purpose
from .compiled import fetch
from .conf import get_settings
from .delivery.delivering import insert_and_deliver
from .delivery.queueing import ring
from .delivery.rows import database, insert
from .delivery.rows import messages as stored_messages
from .exceptions import (
    AlreadyRetried,
    InactiveService,
    InDoubt,
    InvalidExpiry,
    InvalidParams,
    InvalidPhoneNumber,
    NoRecipients,
    NotRetryable,
    OpenTransaction,
    RetryRefused,
    UnknownService,
    UnknownTemplate,
    UnusableService,
    UnusableTemplate,
    VariablesWiped,
)
from .models import SmsMessage, SmsService, SmsTemplate, TemplateCode, current_service
from .params import checked_params
from .phone_numbers import mask, normalize
from .placeholders import validate_placeholders
from .signals import retry_requested
from .transactions import in_open_transaction
from .validators import TEMPLATE_CODE

__all__ = ["queue_message", "resolve", "retry_message", "send_message"]

_NOT_ARRIVED = frozenset({MessageStatus.FAILED, MessageStatus.UNDELIVERED})
_SLUG = re.compile(r"(?=.*[A-Za-z])[-A-Za-z0-9_]{1,50}")


@sensitive_variables()
def send_message(
    service: SmsService | str,
    phone_numbers: str | Iterable[str],
    template: SmsTemplate | str,
    params: Mapping[str, str] | None = None,
    *,
    purpose: str | None = None,
) -> list[SmsMessage]:
    """Send a text to one or many numbers, now.

    What certainly did not go out and may work later, and what the service's rate limit does not allow now, is
    ``queued`` on return and left to the workers.

    Args:
        service: an ``SmsService`` or its key. Its row is read anew.
        phone_numbers: one or many, in any notation; a number that comes twice gets one text.
        template: an ``SmsTemplate`` (saved or not), its key, or, for a service that sends by code, a code that
            a template has for it; a code that none has needs ``purpose``.
        params: the template's variables, exactly, as strings.
        purpose: a ``Purpose``; only with a bare template code.

    Returns:
        one message per number, in their order, with the outcome of this try.

    Raises:
        NoRecipients, InvalidPhoneNumber, UnknownService, InactiveService, UnusableService, UnknownTemplate,
        UnusableTemplate, InvalidParams: wrong use; nothing was stored or sent.
        OpenTransaction: a transaction is open, whose rollback would forget a text that went out.
        MissingSDK, InvalidConfiguration, EncryptionKeyError: the service cannot send at all; nothing was stored.
    """
    _refuse_open_transaction()
    service, messages = _composed(service, phone_numbers, template, params, purpose)
    insert_and_deliver(service, messages)
    return messages


@sensitive_variables()
def queue_message(
    service: SmsService | str,
    phone_numbers: str | Iterable[str],
    template: SmsTemplate | str,
    params: Mapping[str, str] | None = None,
    *,
    purpose: str | None = None,
    expires_at: datetime | None = None,
) -> list[SmsMessage]:
    """Have the workers send a text to one or many numbers, once the caller's transaction is committed.

    Takes the same as ``send_message``, and raises the same for wrong use, ``OpenTransaction`` excepted. Whether the
    service can send at all is only seen by the workers: until it can, the messages stay queued and say why. If the
    transaction is rolled back, nothing is sent. If the broker is down, the sweep rings the workers later.

    Args:
        expires_at: with a time zone; what no worker has begun to send by then is skipped. ``None``: however late, it is
            sent.

    Raises:
        InvalidExpiry: ``expires_at`` is something else.
    """
    _check_expiry(expires_at)
    service, messages = _composed(service, phone_numbers, template, params, purpose)
    if expires_at is not None:
        for message in messages:
            message.expires_at = expires_at
            message.sweep_at = min(message.sweep_at or expires_at, expires_at)
    with transaction.atomic(using=database()):
        insert(messages)
        ids = [message.pk for message in messages]
        transaction.on_commit(lambda: ring(service, ids, messages[0].purpose), using=database(), robust=True)
    return messages


@sensitive_variables()
def retry_message(message: SmsMessage | int, *, even_if_in_doubt: bool = False) -> SmsMessage:
    """Queue a message that did not arrive once more: a new message, whose ``retry_of`` is the old one.

    The new one says what the old one said, whatever became of its template, and leaves on the same path as
    every other; it expires when the old one or its batch would have, if that is still to come. However often this is
    called for a message, also at once, there is one retry of it; a retry that fails can be retried in its turn.

    Args:
        message: an ``SmsMessage`` or its primary key. Its row is read anew.
        even_if_in_doubt: retry an ``unknown`` message too, which may have been sent.

    Returns:
        the new message, ``queued``.

    Raises:
        SmsMessage.DoesNotExist: there is no such message.
        NotRetryable: it is neither failed nor undelivered nor in doubt.
        InDoubt: it is ``unknown``, and ``even_if_in_doubt`` was not given.
        AlreadyRetried: it has a retry; ``retry_id`` says which.
        VariablesWiped: it is a one-time code, or had other sensitive variables. Send a new text instead.
        RetryRefused: its batch may not send any more, or a receiver of ``retry_requested`` objects.
        InactiveService, UnusableService: its service is deactivated, or its signature not approved.
        UnusableTemplate: the platform does not approve of its template's code any more.
        InvalidParams: its service would not take it any more.
    """
    message = stored_messages().get(pk=message.pk if isinstance(message, SmsMessage) else message)
    now = timezone.now()
    _check_retryable(message, even_if_in_doubt)
    _check_permitted(message)
    service = _current_service(message.service)
    _check_code(service, message)
    expires_at = message.expires_at or (message.batch and message.batch.expires_at)
    retry = SmsMessage(
        service_id=message.service_id,
        template_id=message.template_id,
        purpose=message.purpose,
        phone_number=message.phone_number,
        text=message.text,
        template_code=message.template_code,
        template_kind=message.template_kind,
        params=message.params,
        retry_of_id=message.pk,
        expires_at=expires_at if expires_at and expires_at > now else None,
        sweep_at=now + timedelta(seconds=get_settings().REQUEUE_AFTER),
    )
    _check_for_provider(service, [retry])
    try:
        with transaction.atomic(using=database()):
            # Nobody moves the old message on while its retry is made.
            if not stored_messages().filter(pk=message.pk, status=message.status).update(tries=F("tries")):
                raise NotRetryable(_("The message has just changed. Look at it again."))
            insert([retry])
            _check_permitted(message)  # it may just have been cancelled, or its number suppressed
            transaction.on_commit(lambda: ring(service, [retry.pk], retry.purpose), using=database(), robust=True)
    except IntegrityError:
        _check_retryable(message, even_if_in_doubt)  # somebody was faster
        raise
    return retry


def _check_retryable(message: SmsMessage, even_if_in_doubt: bool) -> None:
    if message.status not in {*_NOT_ARRIVED, MessageStatus.UNKNOWN}:
        raise NotRetryable(
            _("Only messages that failed, were not delivered or are in doubt can be retried; this one is: %s.")
            % message.get_status_display()
        )
    retry_id = stored_messages().filter(retry_of=message.pk).values_list("pk", flat=True).first()
    if retry_id is not None:
        raise AlreadyRetried(_("This message was already retried, as message %d.") % retry_id, retry_id)
    if message.purpose == Purpose.OTP or message.wiped_names:
        raise VariablesWiped(
            _("This message had sensitive variables, which are not kept once the outcome is known. Send a new one.")
        )
    if message.status == MessageStatus.UNKNOWN and not even_if_in_doubt:
        raise InDoubt(_("This message may have been sent. Confirm that it may arrive twice."))


def _check_permitted(message: SmsMessage) -> None:
    """A retry stands outside of the batch; what may not leave any more, or not to its number, is not retried either."""
    origin = message
    while origin.batch_id is None and origin.retry_of_id is not None:
        origin = stored_messages().get(pk=origin.retry_of_id)
    if origin.batch is not None and (problem := origin.batch.problem):
        raise RetryRefused(problem)
    for _receiver, objection in retry_requested.send(SmsMessage, message=message, origin=origin):
        if objection:
            raise RetryRefused(objection)


def _check_code(service: SmsService, message: SmsMessage) -> None:
    if not message.template_code:
        return
    codes = TemplateCode.objects.using(database())
    registered = codes.filter(service_id=service.pk, code=message.template_code).first()
    if registered and (problem := registered.problem):
        raise UnusableTemplate(problem)


def _refuse_open_transaction() -> None:
    if in_open_transaction():
        raise OpenTransaction(
            "send_message() was called inside a transaction: if it were rolled back, a text that went out would be "
            "forgotten. Use queue_message(), which sends after the commit."
        )


def _check_expiry(expires_at: object) -> None:
    if expires_at is not None and (not isinstance(expires_at, datetime) or timezone.is_naive(expires_at)):
        raise InvalidExpiry(f"expires_at is a datetime with a time zone, not {type(expires_at).__name__}.")


def _composed(
    service: SmsService | str,
    phone_numbers: str | Iterable[str],
    template: SmsTemplate | str,
    params: Mapping[str, str] | None,
    purpose: str | None,
) -> tuple[SmsService, list[SmsMessage]]:
    """Check everything and build the messages, unsaved."""
    service = _current_service(service)
    numbers = _distinct_numbers(phone_numbers)
    values = checked_params(params)
    template, registration = _template_and_registration(service, template, purpose)
    if template.pk or template.text:
        template.check_params(values)
    messages = [_message(service, number, template, registration, values) for number in numbers]
    _check_for_provider(service, messages)
    return service, messages


def _current_service(service: SmsService | str) -> SmsService:
    """The service's row as it is now: what another process saved counts from the next send on."""
    if not isinstance(service, SmsService | str):
        raise UnknownService(f"A service is an SmsService or its key, not {type(service).__name__}.")
    current = current_service(service.pk if isinstance(service, SmsService) else service) if service else None
    if current is None:
        known = ", ".join(SmsService.objects.non_polymorphic().values_list("key", flat=True)[:10]) or _("none yet")
        key = service.key if isinstance(service, SmsService) else service
        key = key if _SLUG.fullmatch(key) else "…"  # whatever else was given may be a number
        raise UnknownService(
            _("There is no SMS service with the key “%(key)s”. Known keys: %(known)s.") % {"key": key, "known": known}
        )
    if not current.is_active:
        raise InactiveService(_("The SMS service “%s” is deactivated. Activate it in admin, or use another.") % current)
    if problem := current.problem:
        raise UnusableService(f"{current}: {problem}")
    return current


def _distinct_numbers(phone_numbers: str | Iterable[str]) -> list[str]:
    if not isinstance(phone_numbers, Iterable):
        raise InvalidPhoneNumber(_("A phone number must be a string, not %s.") % type(phone_numbers).__name__)
    raw = [phone_numbers] if isinstance(phone_numbers, str) else list(phone_numbers)
    if not raw:
        raise NoRecipients(_("No phone number was given."))
    numbers: dict[str, None] = {}
    for position, number in enumerate(raw, start=1):
        try:
            numbers[normalize(number)] = None
        except InvalidPhoneNumber as error:
            if len(raw) == 1:
                raise
            raise InvalidPhoneNumber(
                _("Phone number %(position)d of %(count)d: %(problem)s")
                % {"position": position, "count": len(raw), "problem": error}
            ) from None
    return list(numbers)


def _template_and_registration(
    service: SmsService, template: SmsTemplate | str, purpose: str | None
) -> tuple[SmsTemplate, TemplateCode]:
    bare_code = isinstance(template, str) and TEMPLATE_CODE.fullmatch(template)
    if purpose is not None and not bare_code:
        raise UnusableTemplate(_("A purpose goes with a bare template code only; a template has one of its own."))
    if isinstance(template, SmsTemplate):
        if template.pk is None:
            _check_unsaved(template)
        return template, template.registration_for(service)
    if not isinstance(template, str):
        raise UnknownTemplate(f"A template is an SmsTemplate, its key or a code, not {type(template).__name__}.")
    if bare_code:
        return _by_code(service, template, purpose)
    found = fetch(SmsTemplate, router.db_for_read(SmsTemplate), key=template)
    if found is None:
        shown = template if _SLUG.fullmatch(template) else "…"  # whatever else was given may be a text or a number
        raise UnknownTemplate(_("There is no SMS template with the key “%s”.") % shown)
    return found, found.registration_for(service)


def _check_unsaved(template: SmsTemplate) -> None:
    """What saving a template would have checked."""
    if template.purpose not in Purpose.values:
        raise UnusableTemplate(_("A template's purpose is one of: %s.") % ", ".join(Purpose.values))
    try:
        validate_placeholders(template.text)
        template.clean()
    except ValidationError as error:
        raise UnusableTemplate(" ".join(error.messages)) from None


def _by_code(service: SmsService, code: str, purpose: str | None) -> tuple[SmsTemplate, TemplateCode]:
    if not service.sends_by_code:
        raise UnusableTemplate(
            _("“%(service)s” sends texts, not template codes. Give a template's key instead of %(code)s.")
            % {"service": service, "code": code}
        )
    registered = TemplateCode.objects.filter(service_id=service.pk, code=code).select_related("template").first()
    if registered is not None:
        if problem := registered.problem:
            raise UnusableTemplate(f"{registered.template}: {problem}")
        return registered.template, registered
    if purpose not in Purpose.values:
        raise UnknownTemplate(
            _(
                "No template has the code %(code)s for “%(service)s”. Add it to one, or say what the text is for: "
                "purpose= one of %(purposes)s."
            )
            % {"code": code, "service": service, "purposes": ", ".join(Purpose.values)}
        )
    return SmsTemplate(purpose=purpose), TemplateCode(code=code)


def _message(
    service: SmsService, number: str, template: SmsTemplate, registration: TemplateCode, params: Mapping[str, str]
) -> SmsMessage:
    message = SmsMessage(
        service_id=service.pk,
        template_id=template.pk,
        purpose=template.purpose,
        phone_number=number,
        text=template.text,
        template_code=registration.code,
        template_kind=registration.platform_kind,
        sweep_at=timezone.now() + timedelta(seconds=get_settings().REQUEUE_AFTER),
    )
    message.set_params(params)
    return message


def _check_for_provider(service: SmsService, messages: Sequence[SmsMessage]) -> None:
    provider = service.build_provider()
    for message in messages:
        if problem := provider.problem_with(message.outgoing()):
            raise InvalidParams(f"{mask(message.phone_number)}: {problem}")


def resolve(
    service: SmsService | str, template: SmsTemplate | str, *, purpose: str | None = None
) -> tuple[SmsService, SmsTemplate, TemplateCode]:
    """What a service and a template stand for now, good for sending: for apps that create messages of their own.

    Args:
        service, template, purpose: as for ``queue_message``.

    Returns:
        the service's row, the template, and the code under which the service knows it; that of a service which
        sends texts is unsaved and empty.

    Raises:
        UnknownService, InactiveService, UnknownTemplate, UnusableTemplate: as for ``queue_message``.
    """
    service = _current_service(service)
    return service, *_template_and_registration(service, template, purpose)
