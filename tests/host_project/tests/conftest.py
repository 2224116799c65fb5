import pytest

from shop.models import Order
from sms_services.choices import Purpose
from sms_services.models import SmsTemplate, TwilioSms

CUSTOMER = "+12065550123"


@pytest.fixture
def shop(db):
    """The account and the templates that an admin would enter. Nobody checks the credentials."""
    SmsTemplate.objects.create(key="login-code", name="Login code", text="${code} is your code.", purpose=Purpose.OTP)
    SmsTemplate.objects.create(key="shipped", name="Shipped", text="Parcel ${parcel} is on its way.")
    return TwilioSms.objects.create(
        key="shop", name="Shop", account_sid="AC" + "0" * 32, auth_token="-", from_number="+12065550100"
    )


@pytest.fixture
def order(shop):
    return Order.objects.create(phone_number=CUSTOMER, parcel="P-1")
