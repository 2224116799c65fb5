"""Texts that are sent at once: `send_message`."""

import pytest

from shop.texts import NotReachable, send_login_code
from sms_services.exceptions import InvalidPhoneNumber
from sms_services.models import SmsMessage

from .conftest import CUSTOMER


def test_the_customer_gets_the_code(shop, sms_outbox):
    code = send_login_code("(206) 555-0123")
    (text,) = sms_outbox
    assert text.phone_number == CUSTOMER
    assert text.text == f"{code} is your code."
    assert text.purpose == "otp"
    assert text.message.status == "sent"


def test_two_customers_get_two_codes(shop, sms_outbox):
    codes = [send_login_code(number) for number in ("+12065550123", "+12065550124")]
    assert [text.params["code"] for text in sms_outbox] == codes
    sms_outbox.clear()
    assert len(sms_outbox) == 0


def test_no_text_goes_to_what_is_no_number(shop, sms_outbox):
    with pytest.raises(InvalidPhoneNumber):
        send_login_code("12")
    assert sms_outbox == []


def test_a_landline_is_told_apart(shop, sms_outbox):
    sms_outbox.fail("refused", code="21614", numbers=CUSTOMER)
    with pytest.raises(NotReachable, match="recipient"):
        send_login_code(CUSTOMER)
    assert sms_outbox == []
    assert send_login_code("+12065550124")


def test_an_empty_balance_is_not_the_customers_fault(shop, sms_outbox):
    sms_outbox.fail("refused", kind="quota")
    with pytest.raises(NotReachable, match="quota"):
        send_login_code(CUSTOMER)


def test_a_lost_answer_still_lets_the_customer_in(shop, sms_outbox):
    sms_outbox.fail("timeout")
    code = send_login_code(CUSTOMER)
    assert sms_outbox[0].params == {"code": code}
    assert sms_outbox[0].message.status == "unknown"


def test_a_lost_request_leaves_the_message_in_doubt(shop, sms_outbox):
    sms_outbox.fail("lost")
    send_login_code(CUSTOMER)
    assert sms_outbox == []
    assert SmsMessage.objects.get().status == "unknown"
