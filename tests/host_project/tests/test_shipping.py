"""Texts that the workers send: `queue_message`. There are no workers here, and no broker."""

import pytest
from django.db import transaction

from shop.texts import ship
from sms_services.models import SmsMessage


def test_the_customer_hears_of_the_parcel(order, sms_outbox):
    ship(order)
    assert [text.text for text in sms_outbox] == ["Parcel P-1 is on its way."]
    assert sms_outbox[0].service == "shop"


def test_with_real_commits_the_text_waits_for_one(transactional_db, order, sms_outbox):
    with transaction.atomic():
        ship(order)
        assert sms_outbox == []
    assert len(sms_outbox) == 1


def test_a_parcel_that_was_not_shipped_is_not_announced(order, sms_outbox):
    order.parcel = "X-1"
    with pytest.raises(ValueError, match="parcel"):
        ship(order)
    assert sms_outbox == []


def test_throttling_only_delays(order, sms_outbox):
    sms_outbox.fail("throttled", times=1)
    ship(order)
    assert sms_outbox == []
    sms_outbox.deliver()
    assert len(sms_outbox) == 1


def test_an_outage_only_delays(order, sms_outbox):
    sms_outbox.fail("down")
    ship(order)
    sms_outbox.deliver()
    assert SmsMessage.objects.get().status == "queued"
    sms_outbox.recover()
    sms_outbox.deliver()
    assert SmsMessage.objects.get().status == "sent"


def test_a_late_receipt_changes_nothing(order, sms_outbox):
    ship(order)
    assert sms_outbox.receipt(sms_outbox[0], "delivered")
    assert not sms_outbox.receipt(sms_outbox[0], "undelivered")
    assert sms_outbox[0].message.status == "delivered"


@pytest.mark.wrong
def test_a_customer_hears_twice(order, sms_outbox):
    ship(order)
    assert len(sms_outbox) == 2
