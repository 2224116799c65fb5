"""Deleting old messages, a few at a time, beside everything else that goes on.

Each batch is found along an index and deleted by primary key in a transaction of its own, so it holds no lock for long
and can be interrupted anywhere. A message that is not settled is never deleted, however old it is.

What other apps' rows have to do with a message is decided by their foreign keys' ``on_delete``: rows go, or let go, in
the transaction of their message. Such a foreign key needs its index, as every batch looks along it. What others protect
(``PROTECT``, ``RESTRICT``) stays, however old it is, and so do messages of batches that a receiver of
``batches_outdated`` keeps.
"""

import time
from collections.abc import Iterator, Sequence
from datetime import datetime

from django.db import IntegrityError, OperationalError, router, transaction
from django.db.models import ProtectedError, Q, RestrictedError
from django.utils import timezone

from .delivery.rows import messages
from .keyset import Position
from .models import SandboxMessage, SmsAttempt, SmsMessage
from .retention import SANDBOX, retention
from .signals import batches_outdated

BATCH = 1_000
#: A message that is retried at the very moment of its deletion makes a batch fail: the next try sees the retry.
_TRIES = 3
_PAUSE = 0.5


def purge(*, batch_size: int = BATCH, dry_run: bool = False) -> Iterator[tuple[str, int]]:
    """Delete what is older than its retention; goes on only while it is iterated over.

    Args:
        batch_size: messages of one transaction.
        dry_run: only count, with what others protect or keep.

    Yields:
        after each batch what it was of, a purpose or ``sandbox``, and how many went (with ``dry_run``: would).

    Raises:
        ImproperlyConfigured: the setting is wrong; nothing was deleted.
    """
    now = timezone.now()
    for name, age in retention().items():
        if name == SANDBOX:
            batches = _sandbox_batches(now - age, batch_size)
        else:
            batches = _message_batches(name, now - age, batch_size)
        for model, pks in batches:
            yield name, len(pks) if dry_run else _delete(model, pks)


Batch = tuple[type[SmsMessage] | type[SandboxMessage], Sequence[int]]


def _message_batches(purpose: str, before: datetime, size: int) -> Iterator[Batch]:
    """Settled messages from the oldest on. It never looks back, where the index is full of what was deleted.

    What was held back for long and left only lately is kept: its receipt may still come.
    """
    old = messages().filter(purpose=purpose, created_at__lt=before).settled().oldest_first()
    old = old.filter(Q(sent_at=None) | Q(sent_at__lt=before))
    rows = list(old.values_list("created_at", "pk")[:size])
    while rows:
        yield SmsMessage, [pk for _created_at, pk in rows]
        rows = list(old.newer_than(Position(*rows[-1])).values_list("created_at", "pk")[:size])


def _sandbox_batches(before: datetime, size: int) -> Iterator[Batch]:
    """Texts of the sandbox in the order in which they came, until they are young enough."""
    texts = SandboxMessage.objects.using(router.db_for_write(SandboxMessage)).order_by("pk")
    rows = list(texts.values_list("pk", "received_at")[:size])
    while old := [pk for pk, received_at in rows if received_at < before]:
        yield SandboxMessage, old
        rows = list(texts.filter(pk__gt=rows[-1][0]).values_list("pk", "received_at")[:size])


def _not_kept(model: type[SmsMessage] | type[SandboxMessage], pks: Sequence[int]) -> Sequence[int]:
    """Those that no other app keeps; each has heard that they go."""
    if model is not SmsMessage:
        return pks
    batches = dict(messages().filter(pk__in=pks, batch__isnull=False).values_list("pk", "batch"))
    if not batches:
        return pks
    answers = batches_outdated.send(SmsMessage, batches=set(batches.values()))
    kept = {batch for _receiver, answer in answers for batch in answer or ()}
    return [pk for pk in pks if batches.get(pk) not in kept]


def _delete(model: type[SmsMessage] | type[SandboxMessage], pks: Sequence[int], *, asked: bool = False) -> int:
    """Delete these rows with all that goes with them, but for what others protect or keep. Returns how many went.

    Args:
        asked: whether other apps have said already that they keep none of these.
    """
    using = router.db_for_write(model)
    for left in reversed(range(_TRIES)):
        try:
            pks = pks if asked else _not_kept(model, pks)
            with transaction.atomic(using=using):
                if model is SmsMessage:  # a write first: SQLite refuses a transaction that begins to write too late
                    SmsAttempt.objects.using(using).filter(message_id__in=pks).delete()
                _all, by_model = model.objects.using(using).filter(pk__in=pks).only("pk").delete()
                return by_model.get(model._meta.label, 0)
        except (ProtectedError, RestrictedError):
            if len(pks) == 1:
                return 0
            middle = len(pks) // 2
            return _delete(model, pks[:middle], asked=True) + _delete(model, pks[middle:], asked=True)
        except (IntegrityError, OperationalError):
            if not left:
                raise
            time.sleep(_PAUSE)
    return 0
