"""The log's search: a whole phone number or a provider's message id, each looked up in an index.

The form posts what is typed, and the answer leads to the list with a token in its address (see ``addresses``), which
only whoever typed it can read.
"""

import re
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.contrib.admin.views.main import ERROR_FLAG, PAGE_VAR, SEARCH_VAR
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseRedirect, QueryDict
from django.urls import path, reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache

from ..addresses import seal, unseal
from ..error_pages import private_post
from ..exceptions import EncryptionKeyError, InvalidPhoneNumber
from ..models.messages import SmsMessageQuerySet
from ..phone_numbers import mask, normalize, notation_help

REVEAL = "sms_services.reveal_smsmessage"
#: Where a page of the list begins. Another search begins with the first page.
POSITIONS = ("before", "after", "end")

#: What providers' ids look like: BizId ``900619746936498440^0``, a UUID, ``SM`` and 32 digits.
_MESSAGE_ID = re.compile(r"(?=.*[0-9])[A-Za-z0-9][A-Za-z0-9^_.:-]{5,63}")
_NUMBERISH = re.compile(r"\+?[\d ().\-/]+")
#: Of a phone number (E.164).
_MOST_DIGITS = 15
#: With what every token begins, also one that was cut off: Fernet's version, and a time in this century.
_TOKEN = "gAAAAA"
#: Characters of a search. No number and no id is longer.
_MOST_TYPED = 100


@dataclass(frozen=True)
class Search:
    """What somebody searches for: a number, or an id, or nothing (everything); or a problem with what was ``typed``."""

    phone_number: str = ""
    message_id: str = ""
    problem: str = ""
    typed: str = ""

    @classmethod
    def of(cls, request: HttpRequest, query: str) -> "Search":
        """Read what somebody typed.

        Numbers can only be searched by those who may reveal them: that somebody got a text is to be known by nobody
        else.
        """
        query = query.strip()
        if not query:
            return cls()
        try:
            number = normalize(query)
        except InvalidPhoneNumber as error:
            # First: few digits alone are a number that somebody mistyped, or wrote without its country's code.
            if _NUMBERISH.fullmatch(query) and sum(map(str.isdigit, query)) <= _MOST_DIGITS:
                return cls(problem=str(error), typed=query)
            if _MESSAGE_ID.fullmatch(query):
                return cls(message_id=query)
            words = _("Nothing is found by this. Search for a whole phone number, or for a provider's message id.")
            return cls(problem=words, typed=query)
        if not request.user.has_perm(REVEAL):
            return cls(problem=_("Only those who may reveal messages can search for phone numbers."))
        return cls(phone_number=number)

    @classmethod
    def at(cls, request: HttpRequest, parameter: str) -> "Search | None":
        """Read what stands in an address: a token of this person, or a provider's message id; ``None``: neither."""
        if not parameter:
            return cls()
        typed = unseal(parameter, _use(request))
        if typed is not None:
            return cls.of(request, typed)
        search = cls.of(request, parameter)
        return search if search.message_id and not parameter.startswith(_TOKEN) else None

    def apply(self, messages: SmsMessageQuerySet) -> SmsMessageQuerySet:
        if self.problem:
            return messages.none()
        if self.phone_number:
            return messages.filter(phone_number=self.phone_number)
        if self.message_id:
            return messages.filter(provider_message_id=self.message_id)
        return messages

    @property
    def in_box(self) -> str:
        """For the search box: what has to be corrected stays as it was typed."""
        return self.typed or str(self)

    def __str__(self) -> str:
        """For a record of what was searched: no full number."""
        return mask(self.phone_number) if self.phone_number else self.message_id


def search_help(*, may_reveal: bool) -> str:
    """Below the search box."""
    if not may_reveal:
        return str(_("A provider's message id."))
    what = _("A whole phone number, or a provider's message id.")
    return f"{what} {notation_help()}"


class Searches:
    """For the log's admin: where the form of the search is sent to."""

    def get_urls(self) -> list[Any]:
        view = never_cache(self.admin_site.admin_view(self.search_view))  # type: ignore[attr-defined]
        urls: list[Any] = super().get_urls()  # type: ignore[misc]
        return [path("search/", view, name="sms_services_smsmessage_search"), *urls]

    @private_post()
    def search_view(self, request: HttpRequest) -> HttpResponseRedirect:
        """Take what was typed to the list, whose filters are in the query string."""
        if not self.has_view_permission(request):  # type: ignore[attr-defined]
            raise PermissionDenied
        parameters = request.GET.copy()
        for name in (*POSITIONS, PAGE_VAR, ERROR_FLAG):
            parameters.pop(name, None)
        if request.method == "POST":  # a GET comes from somebody who had to log in again first
            self._put(request, request.POST.get(SEARCH_VAR, "").strip()[:_MOST_TYPED], parameters)
        return to_list(parameters)

    def _put(self, request: HttpRequest, typed: str, parameters: QueryDict) -> None:
        """Make this the search of an address."""
        search = Search.at(request, parameters.get(SEARCH_VAR, ""))
        if typed and search and typed == search.in_box:
            return  # the masked number, as the box shows it: the search stays what it is
        parameters.pop(SEARCH_VAR, None)
        if typed:
            try:
                parameters[SEARCH_VAR] = seal(typed, _use(request))
            except EncryptionKeyError as error:
                messages.error(request, str(error))


def without_unreadable_search(request: HttpRequest) -> HttpResponseRedirect | None:
    """Where to go from an address whose search cannot be read; ``None`` if it can, or if there is none."""
    if Search.at(request, request.GET.get(SEARCH_VAR, "")) is not None:
        return None
    words = _("The search in this address is somebody else's, more than a day old, or cannot be read. Search again.")
    messages.error(request, words)
    parameters = request.GET.copy()
    for name in (*POSITIONS, SEARCH_VAR):
        parameters.pop(name, None)
    return to_list(parameters)


def to_list(parameters: QueryDict) -> HttpResponseRedirect:
    url = reverse("admin:sms_services_smsmessage_changelist")
    return HttpResponseRedirect(f"{url}?{parameters.urlencode()}" if parameters else url)


def _use(request: HttpRequest) -> str:
    """Of the token: the search box shows what was typed, which may be a number, to nobody else."""
    return f"search by {request.user.pk}"
