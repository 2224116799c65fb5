"""The log's search: a whole phone number or a provider's message id, each looked up in an index."""

import re
from dataclasses import dataclass

from django.http import HttpRequest
from django.utils.translation import gettext as _

from ..exceptions import InvalidPhoneNumber
from ..models.messages import SmsMessageQuerySet
from ..phone_numbers import mask, normalize

REVEAL = "sms_services.reveal_smsmessage"

#: What providers' ids look like: BizId ``900619746936498440^0``, a UUID, ``SM`` and 32 digits.
_MESSAGE_ID = re.compile(r"(?=.*[0-9])[A-Za-z0-9][A-Za-z0-9^_.:-]{5,63}")
_NUMBERISH = re.compile(r"\+?[\d ().\-/]+")


@dataclass(frozen=True)
class Search:
    """What somebody searches for. At most one of the fields is set; none: for everything."""

    phone_number: str = ""
    message_id: str = ""
    problem: str = ""

    @classmethod
    def of(cls, request: HttpRequest, query: str) -> "Search":
        """Read a query.

        Numbers can only be searched by those who may reveal them: that somebody got a text is to be known by nobody
        else.
        """
        query = query.strip()
        if not query:
            return cls()
        try:
            number = normalize(query)
        except InvalidPhoneNumber as error:
            if _MESSAGE_ID.fullmatch(query):
                return cls(message_id=query)
            if _NUMBERISH.fullmatch(query):
                return cls(problem=str(error))
            return cls(problem=_("Search for a whole phone number, or for a provider's message id."))
        if not request.user.has_perm(REVEAL):
            return cls(problem=_("Only those who may reveal messages can search for phone numbers."))
        return cls(phone_number=number)

    def apply(self, messages: SmsMessageQuerySet) -> SmsMessageQuerySet:
        if self.problem:
            return messages.none()
        if self.phone_number:
            return messages.filter(phone_number=self.phone_number)
        if self.message_id:
            return messages.filter(provider_message_id=self.message_id)
        return messages

    def __str__(self) -> str:
        """For a record of what was searched: no full number."""
        return mask(self.phone_number) if self.phone_number else self.message_id
