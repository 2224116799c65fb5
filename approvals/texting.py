"""Texts about nodes, of this engine and of others.

What is to be texted is written down in the engine's transaction: no commit, no text, and no action whose text cannot be
written. After the commit it is handed to ``notify()``, with the event id as its idempotency key; if that does not come
about, because the process was killed at this moment, the sweep does it. People whose task is handled are marked: they
need no text any more, and what has not left yet is skipped. Both lock the text's row, so that neither overlooks the
other. Our engine does this itself, before it says anything, so that what receivers do finds it done; for other engines,
receivers of ``node_reached`` and ``task_handled`` do it.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.dispatch import receiver
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from notifications.api import notify
from notifications.exceptions import IdempotencyConflict
from notifications.omitting import omit
from sms_services.exceptions import SmsError
from sms_services.models import SmsService, SmsTemplate

from .choices import NodeKind, RequestStatus, TextState
from .conf import get_settings
from .logs import log_failure, logger
from .models import EngineSms, NodeText, Request, TextRecipient
from .rows import database, texts
from .signals import node_reached, task_handled

#: Seconds after which the sweep does what should have been done at once.
LOST_AFTER = 30.0
#: Seconds between two looks at texts that are just leaving.
POLL = 10.0
#: Whatever fails for unknown reasons is tried again for so long.
GIVE_UP_AFTER = timedelta(days=1)
#: Texts of one sweep.
STEP = 200


@receiver(node_reached, dispatch_uid="approvals.write_text")
def write_text_of_others(
    sender: Any,
    *,
    process_key: str,
    node_key: str,
    service: SmsService | None = None,
    template: SmsTemplate | None = None,
    engine: str = "",
    request: Any = None,
    **said: Any,
) -> None:
    """Write down what another engine's node texts, if it texts anything."""
    if isinstance(request, Request):
        return
    if service is None and template is None:
        service, template = _configured(engine, process_key, node_key)
    if service is not None or template is not None:
        write_text(
            **said, process_key=process_key, node_key=node_key, service=service, template=template, engine=engine
        )


def write_text(
    *,
    event_id: str,
    kind: str,
    reason: str,
    process_key: str,
    process_title: str,
    node_key: str,
    initiator: Any,
    recipients: Iterable[Any],
    service: SmsService | None,
    template: SmsTemplate | None,
    engine: str,
    task_keys: Mapping[Any, str] | None = None,
    request: Request | None = None,
    **kwargs: Any,
) -> None:
    """Write down what is to be texted, once per event. The arguments are those of ``node_reached``.

    Where service or template do not exist any more, it is written down all the same, and fails with advice.
    """
    people = {user.pk: user for user in recipients}
    if not people:
        return
    with transaction.atomic(using=database()):
        text, new = texts().get_or_create(
            event_id=event_id,
            defaults={
                "engine": engine,
                "process_key": process_key,
                "process_title": process_title,
                "node_key": node_key,
                "kind": kind,
                "reason": reason,
                "request": request,
                "initiator": initiator,
                "sms_service": service,
                "sms_template": template,
                "sweep_at": timezone.now() + timedelta(seconds=LOST_AFTER),
            },
        )
        if not new:
            return
        keys = task_keys or {}
        TextRecipient.objects.using(database()).bulk_create(
            TextRecipient(text=text, user=user, task_key=keys.get(pk, "")) for pk, user in people.items()
        )
        _after_commit(hand_over, text.pk)


@receiver(task_handled, dispatch_uid="approvals.mark_handled")
def mark_handled_by_others(sender: Any, *, task_keys: Sequence[str], request: Any = None, **kwargs: Any) -> None:
    """Mark what another engine says is handled."""
    if not isinstance(request, Request):
        mark_handled(task_keys)


def mark_handled(task_keys: Iterable[str]) -> None:
    """Mark those who need no text about these tasks any more."""
    keys = [key for key in task_keys if key]
    with transaction.atomic(using=database()):
        rows = TextRecipient.objects.using(database()).filter(task_key__in=keys, handled=False)
        text_ids = sorted(set(rows.values_list("text", flat=True)))
        if not text_ids:
            return
        rows.update(handled=True)
        # Waits for whoever sends one again: its state is what was committed until then.
        list(texts().filter(pk__in=text_ids).order_by("pk").select_for_update().values_list("pk"))
        later = timezone.now() + timedelta(seconds=LOST_AFTER)
        texts().filter(pk__in=text_ids, state__in=(TextState.WAITING, TextState.ORDERED)).update(sweep_at=later)
        for pk in text_ids:
            _after_commit(skip_handled, pk)


def hand_over(pk: int) -> None:
    """Hand a text to ``notify()``, unless that was done: for those who still have something to do."""
    with transaction.atomic(using=database()):
        waiting = texts().filter(pk=pk, state=TextState.WAITING)
        if not waiting.update(sweep_at=timezone.now() + timedelta(seconds=LOST_AFTER)):  # locks the row
            return
        text = texts().select_related("initiator", "request", "sms_template").get(pk=pk)
        people = list(text.recipients.filter(handled=False).order_by("user").values_list("user", flat=True))
        if not people or is_outdated(text):
            changes: dict[str, Any] = {"state": TextState.SKIPPED}
        else:
            changes = _ordered(text, people)
        texts().filter(pk=pk).update(sweep_at=None, **changes)


def is_outdated(text: NodeText) -> bool:
    """A copy of what was withdrawn. Other texts go to whoever still has something to do: then to nobody."""
    request = text.request
    return text.kind == NodeKind.CC and request is not None and request.status == RequestStatus.WITHDRAWN


def send_again(pk: int) -> bool:
    """Hand over once more what could not be; ``False`` if it is not one that failed, so that it leaves once."""
    with transaction.atomic(using=database()):
        failed = texts().filter(pk=pk, state=TextState.FAILED)
        if not failed.update(state=TextState.WAITING, problem=""):
            return False
        hand_over(pk)
    return True


def skip_handled(pk: int) -> None:
    """Skip what has not left yet of a text, for those who have nothing to do about it any more."""
    with transaction.atomic(using=database()):
        ordered = texts().filter(pk=pk, state=TextState.ORDERED)
        if not ordered.update(sweep_at=timezone.now() + timedelta(seconds=POLL)):  # locks the row
            return
        text = ordered.get()
        handled = list(text.recipients.filter(handled=True).values_list("user", flat=True))
        if text.notification_id is None or omit(text.notification_id, handled):
            ordered.update(sweep_at=None)


def sweep_texts(until: float) -> None:
    """Do what was left undone, until a moment of the monotonic clock."""
    while overdue := list(texts().filter(sweep_at__lte=timezone.now()).order_by("sweep_at")[:STEP]):
        for text in overdue:
            if time.monotonic() > until:
                return
            sweep_text(text)


def sweep_text(text: NodeText) -> None:
    """Do what was left undone for a text; where that fails, the next sweep does it again."""
    now = timezone.now()
    try:
        if text.state == TextState.WAITING and text.created_at < now - GIVE_UP_AFTER:
            _give_up(text)
        else:
            (hand_over if text.state == TextState.WAITING else skip_handled)(text.pk)
    except Exception as error:  # noqa: BLE001 - logged
        log_failure("approvals.text_failed", error, text=text.pk)
        texts().filter(pk=text.pk, sweep_at=text.sweep_at).update(sweep_at=now + timedelta(seconds=LOST_AFTER))


def _after_commit(do: Callable[[int], None], pk: int) -> None:
    """Do something for a text; where it fails, the sweep does it again."""

    def call() -> None:
        try:
            do(pk)
        except Exception as error:  # noqa: BLE001 - logged
            log_failure("approvals.text_failed", error, text=pk)

    transaction.on_commit(call, using=database())


def _ordered(text: NodeText, people: Sequence[Any]) -> dict[str, Any]:
    """What becomes of a text that ``notify()`` is given, or refuses."""
    with translation.override(settings.LANGUAGE_CODE):  # for admins, whoever acted
        try:
            with transaction.atomic(using=database()):
                if text.sms_service is None or text.sms_template is None:
                    return _failed(_("Its SMS service or its SMS template was deleted. Choose another for the step."))
                notification = notify(
                    users=people,
                    service=text.sms_service,
                    template=text.sms_template,
                    variables={"processTitle": text.process_title, "userNick": user_nick(text)},
                    idempotency_key=text.event_id,
                )
        except IdempotencyConflict as conflict:
            # It was handed over before, to all who had something to do then.
            return {"state": TextState.ORDERED, "notification": conflict.notification_id}
        except SmsError as error:
            logger.error("approvals.text_refused text=%s error=%s", text.pk, type(error).__name__)
            return _failed(str(error))
    return {"state": TextState.ORDERED, "notification": notification}


def user_nick(text: NodeText) -> str:
    """What a text calls the initiator."""
    if text.initiator is not None:
        return str(get_settings().function("USER_NICK")(text.initiator))
    return text.request.initiator_name if text.request else ""


def _failed(problem: str) -> dict[str, Any]:
    return {"state": TextState.FAILED, "problem": problem}


def _give_up(text: NodeText) -> None:
    with translation.override(settings.LANGUAGE_CODE):
        problem = _("It could not be handed over for a day. The log says why, under approvals.text_failed.")
        texts().filter(pk=text.pk, state=TextState.WAITING).update(sweep_at=None, **_failed(problem))


def _configured(engine: str, process_key: str, node_key: str) -> tuple[SmsService | None, SmsTemplate | None]:
    """What an admin has chosen for a node of another engine: for the node itself, or for all of its process."""
    rows = EngineSms.objects.using(database()).filter(Q(node_key=node_key) | Q(node_key=""), process_key=process_key)
    found = rows.filter(engine=engine).select_related("sms_template").order_by("-node_key").first() if engine else None
    return (found.sms_service, found.sms_template) if found else (None, None)
