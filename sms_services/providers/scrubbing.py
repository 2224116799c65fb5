"""What a provider answers, made safe to store: nothing personal, and nothing that a column cannot hold."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from .base import OutgoingMessage, Result

#: A number, or a part of one, however it is written.
_LONG_DIGITS = re.compile(r"\+?\d[\d\-.()\s]{2,}\d")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
#: What the columns hold, and the longest pause that makes sense.
_CODE_LENGTH, _DETAIL_LENGTH, _MOST_SEGMENTS, _LONGEST_PAUSE = 64, 255, 32_767, 3_600.0


def scrubbed(result: "Result", messages: "Sequence[OutgoingMessage]") -> "Result":
    """The result made safe to store: numbers, texts and variables out of its detail, everything within bounds.

    What the provider answers decides nothing about whether the outcome can be written.
    """
    return replace(
        result,
        code=_stored(result.code, _CODE_LENGTH),
        detail=_stored(_impersonal(result.detail, messages), _DETAIL_LENGTH) if result.detail else "",
        request_id=_stored(result.request_id, _CODE_LENGTH),
        message_id=_stored(result.message_id, _CODE_LENGTH),
        segments=result.segments if result.segments and 0 < result.segments <= _MOST_SEGMENTS else None,
        retry_after=min(max(result.retry_after, 0.0), _LONGEST_PAUSE) if result.retry_after else None,
    )


def _stored(text: str, length: int) -> str:
    return _CONTROL.sub(" ", text)[:length]


def _impersonal(detail: str, messages: "Sequence[OutgoingMessage]") -> str:
    values = {value for message in messages for value in (message.text, message.phone_number, *message.params.values())}
    for value in sorted(values, key=len, reverse=True):
        for spelling in _spellings(value, detail):
            if spelling.lower() in detail.lower():  # few are, and a pattern takes long to compile
                detail = _pattern(spelling).sub("***", detail)
    return _LONG_DIGITS.sub("***", detail)


def _spellings(value: str, detail: str) -> Iterator[str]:
    """A value as it may be repeated: as it is, or as a part of an address, of JSON, or of HTML.

    One character would be found everywhere.
    """
    if len(value) < 2 and value.isascii():
        return
    yield value
    if "%" in detail or "+" in detail:
        yield from (quote(value, safe=""), quote_plus(value))
    if "\\" in detail:
        yield json.dumps(value)[1:-1]
    if "&" in detail:
        yield escape(value)


def _pattern(spelling: str) -> re.Pattern[str]:
    """In any capitals; few Latin letters only as a word, though a Chinese name has two or three characters."""
    is_short = len(spelling) <= 3 and spelling.isascii()
    pattern = rf"(?<!\w){re.escape(spelling)}(?!\w)" if is_short else re.escape(spelling)
    return re.compile(pattern, re.IGNORECASE)
