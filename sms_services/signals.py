"""Signals, sent after the commit, each with ``message`` (an ``SmsMessage``). A failing receiver harms nobody.

A worker sends them, or whoever called ``send_message``. Receivers are called per message: keep them short.
"""

from django.dispatch import Signal

#: The provider accepted the message (no phone has it yet).
message_sent = Signal()

#: The message was certainly not accepted, and is not tried again.
message_failed = Signal()
