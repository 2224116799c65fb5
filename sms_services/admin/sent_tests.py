"""The test that somebody has just sent, in the address of the page that shows its outcome.

Who may send tests may not look at other people's messages. So the address holds no id that could be replaced by
another, but a token that only its sender can use.
"""

from django.http import HttpRequest
from django.utils.http import urlencode

from ..addresses import seal, unseal
from ..delivery.rows import messages as stored_messages
from ..models import SmsMessage

_SENT = "sent"


def outcome_url(request: HttpRequest, message: SmsMessage) -> str:
    """This page, with the outcome of what was sent from it: reloading that does not send again."""
    return f"{request.path}?{urlencode({_SENT: seal(str(message.pk), _use(request))})}"


def sent_test(request: HttpRequest, service_id: int | None) -> SmsMessage | None:
    """The message in the address of a page of this service; ``None``: there is none, or somebody else has sent it."""
    pk = unseal(request.GET.get(_SENT, ""), _use(request)) if request.method == "GET" else None
    return stored_messages().filter(pk=pk, service_id=service_id).first() if pk else None


def _use(request: HttpRequest) -> str:
    return f"sent test of {request.user.pk}"
