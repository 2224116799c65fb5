"""The same without pytest's fixtures."""

from django.test import TestCase

from shop.models import Order
from shop.texts import ship
from sms_services.models import SmsTemplate, TwilioSms
from sms_services.testing import capture_sms


class ShippingTest(TestCase):
    def setUp(self):
        self.sms = self.enterContext(capture_sms())
        SmsTemplate.objects.create(key="shipped", name="Shipped", text="Parcel ${parcel} is on its way.")
        TwilioSms.objects.create(
            key="shop", name="Shop", account_sid="AC" + "0" * 32, auth_token="-", from_number="+12065550100"
        )

    def test_the_customer_hears_of_the_parcel(self):
        ship(Order.objects.create(phone_number="+12065550123", parcel="P-1"))
        assert [text.text for text in self.sms] == ["Parcel P-1 is on its way."]
