"""What a provider says about a message is stored without number, text and variables, however it repeats them."""

from __future__ import annotations

import pytest

from sms_services.choices import Outcome
from sms_services.providers.base import OutgoingMessage, Result
from sms_services.providers.scrubbing import scrubbed

MESSAGE = OutgoingMessage(
    "+12065550123", "notification", text="Hello Zoë Quinn & co", params={"name": "Zoë Quinn", "short": "Al", "n": "5"}
)


@pytest.mark.parametrize(
    ("said", "stored"),
    [
        ("to +12065550123", "to ***"),
        ("to %2B12065550123", "to ***"),
        ("to 206-555-0123", "to ***"),
        ("to 206.555.0123", "to ***"),
        ("to (206) 555 0123", "to (***"),
        ("text “Hello Zoë Quinn & co”", "text “***”"),
        ("text=Hello%20Zo%C3%AB%20Quinn%20%26%20co", "text=***"),
        ("text=Hello+Zo%c3%ab+Quinn+%26+co", "text=***"),
        ("name ZOË QUINN", "name ***"),
        ("for Al.", "for ***."),
        ("for AL.", "for ***."),
        ('{"name": "Zo\\u00eb Quinn"}', '{"name": "***"}'),
        ("Hello Zoë Quinn &amp; co", "***"),
        ("Algiers is not covered; all 5 of them", "Algiers is not covered; all 5 of them"),
    ],
)
def test_nothing_of_the_message_is_left(said, stored):
    assert scrubbed(Result(Outcome.REFUSED, detail=said), [MESSAGE]).detail == stored
