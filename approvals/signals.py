"""What the engine says, and what other engines may say too.

Receivers are called in the engine's transaction, each in a savepoint of its own: what one does is rolled back with the
action, and one that fails is rolled back and logged, and harms neither the request nor the others. Where a receiver's
error takes the whole transaction with it, as a deadlock does on MariaDB, the action fails with that error. Receivers
run while the request's row is locked: keep them short, and leave everything slow to ``transaction.on_commit``.

Other engines send ``node_reached`` and ``task_handled`` with ``engine="their-name"``; see docs/approvals.md.
"""

from typing import Any

from django.db import Error, transaction
from django.dispatch import Signal

from .logs import log_failure


class SavepointSignal(Signal):
    """A signal whose ``send_robust`` gives every receiver a savepoint.

    Without it, a receiver whose statement fails leaves PostgreSQL's transaction unusable for all that follows.
    """

    def send_robust(self, sender: Any, **named: Any) -> list[tuple[Any, Any]]:
        """As Django's, unless a receiver's error has ended the transaction: then it is raised.

        Django rolls such a transaction back at its end without a word, and what was lost would pass for done.
        """
        answers = super().send_robust(sender, **named)
        if _is_lost():
            ends = [answer.__cause__ for _receiver, answer in answers if isinstance(answer, _TransactionLostError)]
            raise next(filter(None, ends), transaction.TransactionManagementError("A receiver ended the transaction."))
        return answers

    def _log_robust_failure(self, receiver: Any, err: Exception) -> None:
        log_failure("approvals.receiver_failed", err, receiver=receiver.__qualname__)

    def _live_receivers(self, sender: Any) -> Any:
        receivers, asynchronous = super()._live_receivers(sender)
        return [_in_savepoint(receiver) for receiver in receivers], asynchronous


class _TransactionLostError(Exception):
    """The transaction is lost by the error that is its cause: not by one before that, which a savepoint has undone."""


def _is_lost() -> bool:
    """Whether the transaction that is open can only be rolled back."""
    from .rows import database

    connection = transaction.get_connection(database())
    return connection.in_atomic_block and (connection.needs_rollback or connection.closed_in_transaction)


def _in_savepoint(receiver: Any) -> Any:
    def call(*args: Any, **kwargs: Any) -> Any:
        from .rows import database

        was_lost = _is_lost()
        try:
            with transaction.atomic(using=database()):
                return receiver(*args, **kwargs)
        except Error as error:
            if _is_lost() and not was_lost:
                raise _TransactionLostError from error
            raise

    call.__qualname__ = getattr(receiver, "__qualname__", repr(receiver))  # what is logged
    return call


#: People have something to do, or are told. Arguments:
#:
#: - ``event_id``: a string of at most 190 characters, the same whenever the same event is sent again;
#: - ``kind``: a ``NodeKind`` (``approval``, ``cc``); ``reason``: a ``Reason`` (``reached``, ``transferred``,
#:   ``reminder``, ``escalated``);
#: - ``process_key``, ``process_title``, ``node_key``: strings;
#: - ``initiator``: a user or ``None``; ``recipients``: users;
#: - ``service``, ``template``: an ``SmsService`` and an ``SmsTemplate``, or neither; with neither, the row of
#:   ``EngineSms`` for ``engine``, ``process_key`` and ``node_key`` counts;
#: - ``engine``: the engine's name, ``approvals`` is ours;
#: - ``task_keys``: what ``task_handled`` will call each recipient's task, by the primary key of the user;
#:   may be left out;
#: - ``request``: our ``Request``, else left out.
node_reached = SavepointSignal()

#: Tasks need nobody any more: somebody acted on one, and others became needless by it. Arguments:
#:
#: - ``engine``; ``task_keys``: strings, as ``node_reached`` gave them (``Task.key`` in ours);
#: - ``request``, ``task`` (the one that was acted on, if any), ``status`` (what became of it), ``actor`` (a user, or
#:   ``None`` for the engine), ``event``: ours only.
task_handled = SavepointSignal()

#: A request was submitted, or its status has changed. Arguments: ``request``, ``old_status`` (empty at submission),
#: ``status``, ``actor`` (a user, or ``None``), ``event`` (an ``Event``).
request_changed = SavepointSignal()
