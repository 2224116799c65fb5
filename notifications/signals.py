"""Signals, sent after the commit by a worker. A failing receiver harms nobody."""

from django.dispatch import Signal

#: All messages of a notification have left or never will. Gets ``notification``. Receipts, and look-ups of what is in
#: doubt, may still change its counts.
notification_finished = Signal()
