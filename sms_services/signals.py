"""Signals. All but the last three have ``message`` (an ``SmsMessage``).

The first two are sent after the commit, by a worker or by whoever called ``send_message``; a failing receiver harms
nobody. Receivers are called per message: keep them short.
"""

from django.dispatch import Signal

#: The provider accepted the message (no phone has it yet).
message_sent = Signal()

#: The message was certainly not accepted, and is not tried again.
message_failed = Signal()

#: Somebody wants a message retried. A receiver that objects returns the reason in words, and no retry is made; an error
#: of a receiver goes to whoever asked. It is asked twice: at once, and in the transaction that makes the retry. Also
#: gets ``origin``: the message that was there first, where ``message`` is a retry itself.
retry_requested = Signal()

#: A worker has done its part for messages of batches. Gets ``batches``, their ids. Sent once per task, also where some
#: of its messages are to be tried again.
batches_delivered = Signal()

#: The purge has come to messages of batches and deletes them next. Gets ``batches``, their ids. A receiver writes down
#: what it needs of them, and returns the ids of those whose messages are to stay. It is asked again where the purge
#: tries again, after a deadlock for instance, its own included. Other errors of it end the purge.
batches_outdated = Signal()

#: Somebody has changed services or templates in admin. Gets ``services`` and ``templates``, as they are now. A receiver
#: returns a list of what cannot be sent by them, in sentences that admin shows as warnings; a failing one is logged.
setup_changed = Signal()
