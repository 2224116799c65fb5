"""Signals, sent after the commit with ``send_robust``: a failing receiver harms nobody.

All have ``login``, the ``MobileLogin`` (``number_removed`` has ``None`` where the one that was named, else the default
one, is off or missing), and none has a code.
Whatever a receiver writes to a log, it masks numbers first (``sms_services.phone_numbers.mask``).
"""

from django.dispatch import Signal

#: Somebody asked for a code: ``challenge``, ``request``. Whether a text goes out is decided later, by a worker.
code_requested = Signal()

#: Somebody asked too often, or for what is paused: ``code`` (an ``ErrorCode``), ``reason`` (a
#: ``RefusalReason``; ``None``: it could not be counted), ``request``, ``retry_after``.
request_refused = Signal()

#: A code was wrong: ``challenge``, ``request``, ``attempts_left``.
code_rejected = Signal()

#: A user logged in by code, or was made by it: ``user``, ``created``, ``request``.
mobile_login_succeeded = Signal()

#: The code was right and the user is not let in: ``user`` (``None``: there is none, and none is made), ``code``,
#: ``request``.
mobile_login_refused = Signal()

#: A user has a verified number now, at registration or later: ``user``, ``number``.
number_bound = Signal()

#: ``user``, ``old_number``, ``new_number``.
number_changed = Signal()

#: A user has no number any more: ``user``, ``number``, ``reason`` (``removed``; ``withdrawn``: by an admin;
#: ``recycled``: somebody else proved it).
number_removed = Signal()

#: A country or prefix paused itself: ``pause``.
pumping_suspected = Signal()
