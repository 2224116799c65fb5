"""What imported templates are called, which existing ones get a code, and what may be used for what."""

from __future__ import annotations

from typing import Any

import pytest

from sms_services.choices import Purpose
from sms_services.importing import Imported, apply, compare
from sms_services.models import AlibabaCloudSms, SmsTemplate, TemplateCode
from tests.services_under_test import create_service, create_template
from tests.simulators import AlibabaCloudSimulator, Template
from tests.test_template_import import INTERNATIONAL, MARKETING, NOTIFICATION, import_url, take_all

pytest_plugins = ["tests.services_under_test"]
pytestmark = [pytest.mark.databases, pytest.mark.django_db]

OTP = {"template_type": 2, "outer_template_type": 0}


@pytest.fixture
def platform(alibaba_cloud) -> AlibabaCloudSimulator:
    return alibaba_cloud


@pytest.fixture
def service(platform, broker) -> AlibabaCloudSms:
    return create_service(platform)


def keys() -> dict[str, str]:
    return dict(TemplateCode.objects.values_list("code", "template__key"))


def named(**names: str) -> list[Template]:
    """Notifications by code."""
    return [Template(code, f"Text of {code}", name, **NOTIFICATION) for code, name in names.items()]


class TestKeys:
    @pytest.mark.parametrize(
        ("name", "key"),
        [
            ("Login code", "login-code"),
            ("Réservation confirmée", "reservation-confirmee"),
            ("snake_case_", "snake-case"),
            ("ＰＡＲＣＥＬ", "parcel"),
            ("验证码", "sms-3000"),
            ("促销 A", "sms-3000"),  # not "a"
            ("2024年Q3 VIP", "sms-3000"),
            ("Заказ 12 b", "sms-3000"),
            ("2026", "sms-3000"),
            ("!?", "sms-3000"),
            ("SMS_3000", "sms-3000"),
            ("x" * 80, "x" * 50),
        ],
    )
    def test_a_key_says_what_the_name_says_or_is_the_code(self, platform, service, name, key):
        platform.templates = named(SMS_3000=name)
        take_all(service)
        assert keys() == {"SMS_3000": key}
        SmsTemplate.objects.get().full_clean()

    def test_it_does_not_depend_on_the_lists_order(self, platform, service):
        platform.templates = named(SMS_1="Parcel", SMS_2="Parcel!", SMS_3="parcel", SMS_4="Parcel 3", SMS_5="包裹")
        for _order in range(2):
            take_all(service)
            assert keys() == {
                "SMS_1": "parcel-1",
                "SMS_2": "parcel-2",
                "SMS_3": "parcel-3",
                "SMS_4": "parcel-3-4",
                "SMS_5": "sms-5",
            }
            SmsTemplate.objects.all().delete()
            platform.templates.reverse()

    def test_it_stays_however_often_it_is_imported(self, platform, service):
        platform.templates = named(SMS_1="Parcel", SMS_2="包裹")
        take_all(service)
        platform.templates = named(SMS_3="Parcel", SMS_1="Another name", SMS_2="Parcel")
        assert take_all(service) == Imported(new=1)
        assert keys() == {"SMS_1": "parcel", "SMS_2": "sms-2", "SMS_3": "parcel-3"}

    def test_what_is_deleted_here_comes_back_under_its_key(self, platform, service):
        platform.templates = named(SMS_1="Parcel", SMS_2="包裹", SMS_3="Parcel!")
        take_all(service)
        before = keys()
        SmsTemplate.objects.all().delete()
        take_all(service)
        assert keys() == before

    @pytest.mark.parametrize("taken", ["Login-Code", "LOGIN-CODE", "login-code", "Lógin-Code"])
    def test_a_key_in_other_letters_is_taken_too(self, admin_client, platform, service, taken):
        create_template(key=taken)
        platform.templates = named(SMS_1="Login code")
        assert take_all(service) == Imported(new=1)
        assert keys() == {"SMS_1": "login-code-1"}

    def test_two_long_names_that_begin_alike(self, platform, service):
        platform.templates = named(SMS_1="x" * 60, SMS_2="x" * 70)
        take_all(service)
        assert keys() == {"SMS_1": f"{'x' * 48}-1", "SMS_2": f"{'x' * 48}-2"}

    def test_there_always_is_a_free_one(self, platform, service):
        for key in ("parcel", "parcel-1", "SMS-1", "sms-1-2"):
            create_template(key=key)
        platform.templates = named(SMS_1="Parcel")
        take_all(service)
        assert keys() == {"SMS_1": "sms-1-3"}

    def test_a_code_that_was_entered_in_other_letters_is_pointed_out(self, platform, service):
        create_template(service, code="sms_1")
        platform.templates = named(SMS_1="Parcel", SMS_2="Other")
        comparison = compare(service)
        assert [(change.code, change.problem) for change in comparison.impossible] == [
            ("SMS_1", "A template has this code in other letters: sms_1. Correct it there.")
        ]
        assert apply(service, comparison.all_chosen) == Imported(new=1, gone=1)


class TestSharing:
    """A code that another service has for the same text."""

    @pytest.fixture
    def other(self, platform, service) -> AlibabaCloudSms:
        return create_service(platform, key="other", name="The other")

    @pytest.mark.parametrize(
        ("kind", "purpose", "text"),
        [
            (OTP, Purpose.OTP, "Code ${code}"),
            (NOTIFICATION, Purpose.NOTIFICATION, "Hello ${name}"),
            (NOTIFICATION, Purpose.APPROVAL, "${processTitle} of ${userNick}"),
            (NOTIFICATION, Purpose.CC, "${processTitle} of ${userNick}"),
            (MARKETING, Purpose.MARKETING, "Sale"),
            (INTERNATIONAL, Purpose.OTP, "Code ${code}"),
            (INTERNATIONAL, Purpose.NOTIFICATION, "Hello ${name}"),
            (INTERNATIONAL, Purpose.MARKETING, "Sale"),
        ],
    )
    def test_its_template_gets_the_code_too(self, admin_client, platform, service, other, kind, purpose, text):
        template = create_template(other, code="SMS_1", text=text, purpose=purpose)
        platform.templates = [Template("SMS_1", text, "Anything", **kind)]
        words = admin_client.get(import_url(service)).content.decode()
        assert "which has this text" in words
        assert f"Purpose: {purpose.label}" in words
        assert take_all(service) == Imported(new=1)
        assert template.codes.count() == 2
        assert SmsTemplate.objects.count() == 1

    @pytest.mark.parametrize(
        ("kind", "purpose", "becomes"),
        [
            (OTP, Purpose.NOTIFICATION, Purpose.OTP),
            (NOTIFICATION, Purpose.OTP, Purpose.NOTIFICATION),
            (NOTIFICATION, Purpose.MARKETING, Purpose.NOTIFICATION),
            (MARKETING, Purpose.NOTIFICATION, Purpose.MARKETING),
            (MARKETING, Purpose.OTP, Purpose.MARKETING),
            (INTERNATIONAL, Purpose.NOTIFICATION, Purpose.OTP),
        ],
    )
    def test_a_template_for_something_else_never_does(self, platform, service, other, kind, purpose, becomes):
        template = create_template(other, code="SMS_1", text="Your code is ${code}", purpose=purpose)
        platform.templates = [Template("SMS_1", "Your code is ${code}", "Login", **kind)]
        assert take_all(service) == Imported(new=1)
        assert template.codes.count() == 1
        assert service.template_codes.get().template.purpose == becomes

    def test_of_two_templates_the_one_for_this_kind_does(self, platform, service, other):
        third = create_service(platform, key="third", name="Third")
        wrong = create_template(other, code="SMS_1", text="Your code is ${code}")
        right = create_template(third, key="otp", code="SMS_1", text="Your code is ${code}", purpose=Purpose.OTP)
        platform.templates = [Template("SMS_1", "Your code is ${code}", "Login", **OTP)]
        take_all(service)
        assert service.template_codes.get().template == right
        assert wrong.codes.count() == 1

    def test_one_of_an_unknown_kind_is_not_imported(self, platform, service, other):
        create_template(other, code="SMS_1", text="Picture")
        platform.templates = [Template("SMS_1", "Picture", "Digital", template_type=9, outer_template_type=7)]
        assert [change.code for change in compare(service).impossible] == ["SMS_1"]
        assert take_all(service) == Imported()

    def test_a_purpose_that_was_changed_meanwhile_counts(self, platform, service, other):
        template = create_template(other, code="SMS_1", text="Hello")
        platform.templates = [Template("SMS_1", "Hello", "Hello", **NOTIFICATION)]
        shown = compare(service).all_chosen
        template.purpose = Purpose.CC
        template.save()
        assert apply(service, shown) == Imported(left_alone=("SMS_1",))


def test_kinds_are_all_covered(platform, service):
    kinds: list[dict[str, Any]] = [OTP, NOTIFICATION, MARKETING, INTERNATIONAL]
    platform.templates = [
        Template(f"SMS_{number}", "Your code is ${code}", f"Name {number}", **kind) for number, kind in enumerate(kinds)
    ]
    take_all(service)
    purposes = TemplateCode.objects.order_by("code").values_list("template__purpose", flat=True)
    assert list(purposes) == ["otp", "notification", "marketing", "otp"]
