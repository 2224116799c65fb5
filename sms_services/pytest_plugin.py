"""The pytest plugin: the fixture ``sms_outbox``. See ``docs/testing.md``.

Every test run of an environment with this distribution imports this module, also those that have nothing to do with
Django: it imports nothing of either at the top.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .testing import SmsOutbox


@pytest.fixture
def sms_outbox(db: None) -> "Iterator[SmsOutbox]":
    """The texts that the test sends, like ``django.core.mail.outbox``. With ``db`` and ``transactional_db`` alike.

    ``sms_outbox.fail(…)`` lets sending go wrong, ``sms_outbox.deliver()`` stands in for the workers.
    """
    from .testing import capture_sms

    with capture_sms() as outbox:
        yield outbox
