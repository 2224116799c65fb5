"""What a page says above its form: what happened, what went wrong, and when to come back."""

import math
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from ..exceptions import Refusal
from .pending import given_next


@dataclass(frozen=True)
class Notice:
    """Words with a tone (``good``, ``wait``, ``bad``), and the seconds until it is worth trying again."""

    tone: str
    text: str | Promise
    retry_after: int = 0

    @property
    def takes_focus(self) -> bool:
        """Whoever is refused must not miss it."""
        return self.tone != "good"

    @property
    def wait(self) -> str:
        return waiting_time(self.retry_after)

    @classmethod
    def of(cls, refusal: Refusal) -> "Notice":
        if refusal.retry_after:
            return cls("wait", refusal.message, refusal.retry_after)
        return cls("bad", refusal.message)


ANOTHER_NUMBER = _("Try another number")
BEGIN_ANEW = _("Begin anew")
NEW_CODE = Notice("good", _("A new code is on its way. The one before is of no use any more."))
TROUBLE = Notice(
    "wait", _("It seems that texts do not arrive at the moment. Wait a little, then have a new code sent.")
)


def waiting_time(seconds: int) -> str:
    """A time to wait, in the largest unit that says enough, rounded up."""
    if seconds < 120:
        return ngettext("%(count)d second", "%(count)d seconds", seconds) % {"count": seconds}
    minutes = math.ceil(seconds / 60)
    if minutes < 120:
        return ngettext("%(count)d minute", "%(count)d minutes", minutes) % {"count": minutes}
    hours = math.ceil(minutes / 60)
    return ngettext("%(count)d hour", "%(count)d hours", hours) % {"count": hours}


def answer(
    request: HttpRequest, template: str, context: dict[str, Any], refusal: Refusal | None = None
) -> HttpResponse:
    """A page; after a refusal with its status, and when to come back."""
    response = render(request, f"login_mobile/{template}", context, status=refusal.status if refusal else 200)
    if refusal and refusal.retry_after:
        response.headers["Retry-After"] = str(refusal.retry_after)
    return response


def refusal_page(
    request: HttpRequest,
    refusal: Refusal,
    *,
    back: str = "",
    back_label: str | Promise = ANOTHER_NUMBER,
    next_url: str | None = None,
) -> HttpResponse:
    """A refusal where there is no form that it could stand above.

    Args:
        back: where to begin anew; ``back_label`` is what the link there says.
        next_url: where somebody wanted to go, on this host; ``None``: what the request says. Another way to log in
            may lead there.
    """
    next_url = given_next(request) if next_url is None else next_url
    context = {"notice": Notice.of(refusal), "back": back, "back_label": back_label, "next": next_url}
    return answer(request, "refused.html", context, refusal)
