"""The public functions of this app: what its pages and its JSON do, for pages and endpoints of your own.

A login takes three calls::

    pending = request_code(request, "+1 206 555 0123")          # a code is on its way
    verified = verify_code(request, pending.token, "493817")     # the code was right
    log_in(request, verified)                                    # and the session is the user's

``request`` is Django's request: the client's address, its known-device cookie and its user are read from it. Whoever
is refused gets a ``Refusal`` with a stable code. What counts, or queues a text with what it does, must be committed at
once: all that begin with ``request``, ``resend``, ``verify``, ``confirm``, ``finish``, ``remove`` or ``reauthenticate``
raise ``OpenTransaction`` inside a transaction. Decorate such views with
``login_mobile.transactions.outside_transactions``.
"""

from .flows.entering import Verified, log_in, remember_device
from .flows.finding import get_login
from .flows.lifting import lift_address_limits, lift_limits, resume
from .flows.notices import can_send_notice
from .flows.numbers import confirm_number, remove_number, request_number, withdraw_number
from .flows.reauthenticating import (
    confirm_reauthentication,
    reauthenticate_with_password,
    recently_authenticated,
    request_reauthentication,
)
from .flows.requesting import PendingCode, request_code, resend_code
from .flows.status import CodeStatus, code_status
from .flows.testing import send_test_code
from .flows.verifying import finish_registration, verify_code

__all__ = [
    "CodeStatus",
    "PendingCode",
    "Verified",
    "can_send_notice",
    "code_status",
    "confirm_number",
    "confirm_reauthentication",
    "finish_registration",
    "get_login",
    "lift_address_limits",
    "lift_limits",
    "log_in",
    "reauthenticate_with_password",
    "recently_authenticated",
    "remember_device",
    "remove_number",
    "request_code",
    "request_number",
    "request_reauthentication",
    "resend_code",
    "resume",
    "send_test_code",
    "verify_code",
    "withdraw_number",
]
