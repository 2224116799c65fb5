"""For tests of projects that send texts: nothing leaves, and everything else is real.

``capture_sms()`` puts a fake vendor in the place of all vendors; with pytest, the fixture ``sms_outbox`` does it for a
test. ``docs/testing.md`` shows both. Nothing outside tests imports this package.
"""

from .outbox import SmsOutbox, capture_sms
from .texts import SentText

__all__ = ["SentText", "SmsOutbox", "capture_sms"]
