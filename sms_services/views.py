"""The sandbox inbox: the texts of sandbox services, like phones on a desk."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.views.decorators import staff_member_required
from django.contrib.auth.decorators import permission_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import get_conditional_response
from django.utils.functional import Promise, lazy
from django.utils.http import urlencode
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST, require_safe

from .addresses import seal, unseal
from .error_pages import hide_variables
from .exceptions import EncryptionKeyError, InvalidPhoneNumber
from .models import SandboxMessage
from .models.sandbox import NewestTexts
from .phone_numbers import MAX_LENGTH, international, is_mainland_china, normalize, notation_help
from .providers.sandbox import SPECIAL_ENDINGS
from .segments import SegmentCount, count_segments

#: The most texts on the desk, and of one phone among others. A phone that was filtered for may fill the desk.
TEXTS = 200
TEXTS_PER_PHONE = 30

#: Of the tokens that stand for a phone in an address, and their parameter.
_USE = PHONE = "phone"

#: Four to eight digits that stand alone: no part of a word, a path, a date, an amount or a longer number.
_CODE = re.compile(r"(?<![0-9A-Za-z_/])(?<![0-9][.,:/\-])[0-9]{4,8}(?![0-9A-Za-z_])(?![.,:/\-][0-9])")


class NumberFilter(forms.Form):
    """The phone to show. It is posted; the page's address holds a token in its place (see ``addresses``)."""

    number = forms.CharField(
        label=_("Phone number"),
        required=False,
        max_length=MAX_LENGTH,
        help_text=lazy(notation_help, str)(),
        widget=forms.TelInput(attrs={"placeholder": "+1 206 555 0100", "autocomplete": "off"}),
    )

    def clean_number(self) -> str:
        raw: str = self.cleaned_data["number"]
        try:
            return normalize(raw) if raw else ""
        except InvalidPhoneNumber:
            raise forms.ValidationError(
                _("This is not a phone number. Write it with plus and country code, as in +1 206 555 0100.")
            ) from None

    @classmethod
    def at(cls, token: str) -> "NumberFilter | None":
        """The form as it was sent, from a token in an address; ``None`` if that cannot be read."""
        typed = unseal(token, _USE) if token else ""
        return None if typed is None else cls({"number": typed})


@dataclass(frozen=True)
class Text:
    """A bubble. ``pieces`` are pairs of words and the code that follows them; ``None``: it cannot be decrypted."""

    pk: int
    pieces: Sequence[tuple[str, str]] | None
    segments: SegmentCount | None
    service_name: str
    received_at: datetime
    is_today: bool


@dataclass(frozen=True)
class Phone:
    number: str
    texts: Sequence[Text]
    has_older: bool

    @property
    def display_number(self) -> str:
        return international(self.number)

    @property
    def ending(self) -> str:
        """The last two digits: by them people tell sandbox phones apart, and they choose what happens."""
        return self.number[-2:]

    @property
    def tone(self) -> int:
        """Which of the colours the phone wears; neighbouring numbers differ."""
        return sum(map(ord, self.number)) % 6


@dataclass(frozen=True)
class SpecialNumber:
    numbers: Sequence[str]
    code: str
    description: str | Promise


@never_cache
@staff_member_required
@require_safe
@permission_required("sms_services.view_sandboxmessage", raise_exception=True)
def sandbox_inbox(request: HttpRequest) -> HttpResponse:
    """The inbox; with ``?fragment`` only the desk with the phones, or 304 when it has not changed.

    A page of one phone whose address has expired gets no desk (204): that of all phones is not what it shows.
    """
    hide_variables(request)
    form = NumberFilter.at(request.GET.get(PHONE, ""))
    if form is None:
        if "fragment" in request.GET:
            return HttpResponse(status=204)
        words = _("The phone in this address cannot be read, or is more than a day old. Enter its number again.")
        messages.error(request, words)
        return HttpResponseRedirect(reverse("sms_services:sandbox_inbox"))
    number = form.cleaned_data["number"] if form.is_valid() else ""
    texts = SandboxMessage.objects.filter(phone_number=number) if number else SandboxMessage.objects.all()
    newest = texts.newest(total=TEXTS, per_phone=TEXTS if number else TEXTS_PER_PHONE)
    etag = _etag(newest, number)
    if "fragment" in request.GET:
        response = get_conditional_response(request, etag=etag) or render(
            request, "sms_services/sandbox/_desk.html", _desk(newest, number)
        )
        response["ETag"] = etag
        return response
    request.current_app = admin.site.name
    context = {
        **admin.site.each_context(request),
        **_desk(newest, number),
        "title": _("Sandbox inbox"),
        "form": form,
        "etag": etag,
        "special_numbers": special_numbers(),
    }
    return render(request, "sms_services/sandbox/inbox.html", context)


@never_cache
@staff_member_required
@permission_required("sms_services.view_sandboxmessage", raise_exception=True)
@sensitive_post_parameters()
def choose_sandbox_phone(request: HttpRequest) -> HttpResponse:
    """Take a number, or what was typed for one, to the inbox. A GET comes from somebody who had to log in again."""
    hide_variables(request)
    inbox = reverse("sms_services:sandbox_inbox")
    typed = request.POST.get("number", "").strip()[:MAX_LENGTH]
    if not typed:
        return HttpResponseRedirect(inbox)
    try:
        return HttpResponseRedirect(f"{inbox}?{urlencode({PHONE: seal(typed, _USE)})}")
    except EncryptionKeyError as error:
        messages.error(request, str(error))
        return HttpResponseRedirect(inbox)


@staff_member_required
@require_POST
@permission_required("sms_services.delete_sandboxmessage", raise_exception=True)
def clear_sandbox_inbox(request: HttpRequest) -> HttpResponse:
    """Delete all texts of all phones."""
    count, _by_model = SandboxMessage.objects.all().delete()
    deleted = ngettext("%(count)d text was deleted.", "%(count)d texts were deleted.", count)
    messages.success(request, deleted % {"count": count})
    return HttpResponseRedirect(reverse("sms_services:sandbox_inbox"))


def special_numbers() -> list[SpecialNumber]:
    """The fictional numbers that do not simply receive what they are sent."""
    return [
        SpecialNumber((international(f"+120655501{ending}"), international(f"+86138000000{ending}")), code, description)
        for ending, (code, description) in SPECIAL_ENDINGS.items()
    ]


def _desk(newest: NewestTexts, number: str) -> dict[str, Any]:
    chosen = [pk for ids in newest.ids.values() for pk in ids]
    rows = SandboxMessage.objects.select_related("service").in_bulk(chosen)
    # A text that was deleted since its id was read is left out.
    texts = {phone_number: [_text(rows[pk]) for pk in ids if pk in rows] for phone_number, ids in newest.ids.items()}
    return {
        "phones": [
            Phone(phone_number, bubbles, phone_number in newest.cut)
            for phone_number, bubbles in texts.items()
            if bubbles
        ],
        "filtered_number": number and international(number),
        "has_older": newest.has_older,
        "limit": TEXTS,
        "limit_per_phone": TEXTS_PER_PHONE,
    }


def _text(row: SandboxMessage) -> Text:
    try:
        text = row.text.reveal() if row.text else ""
    except EncryptionKeyError:
        text = None
    return Text(
        pk=row.pk,
        pieces=None if text is None else list(_pieces(text)),
        segments=None if text is None else count_segments(text, always_ucs_2=is_mainland_china(row.phone_number)),
        service_name=row.service.name,
        received_at=row.received_at,
        is_today=timezone.localdate(row.received_at) == timezone.localdate(),
    )


def _pieces(text: str) -> Iterator[tuple[str, str]]:
    end = 0
    for code in _CODE.finditer(text):
        yield text[end : code.start()], code[0]
        end = code.end()
    yield text[end:], ""


def _etag(newest: NewestTexts, number: str) -> str:
    """Changes with whatever changes the desk; the day is in it because texts of today show no date."""
    seen = (number, newest.ids, sorted(newest.cut), newest.has_older, get_language(), timezone.localdate())
    return f'"{hashlib.sha256(repr(seen).encode()).hexdigest()[:32]}"'
