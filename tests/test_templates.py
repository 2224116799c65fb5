"""Templates: what may stand in one, and what is found out before anything is sent."""

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.forms import modelform_factory

from sms_services.choices import Purpose
from sms_services.exceptions import InvalidParams, UnusableTemplate
from sms_services.models import SmsTemplate, TemplateCode
from sms_services.placeholders import matching_pattern, placeholder_names, render
from tests.services_under_test import create_service, create_template
from tests.simulators import AlibabaCloudSimulator, AwsSnsSimulator, TwilioSimulator

pytest_plugins = ["tests.services_under_test"]

pytestmark = pytest.mark.django_db


def errors_of(**fields) -> dict[str, list[str]]:
    template = SmsTemplate(**{"key": "greeting", "name": "Greeting", **fields})
    with pytest.raises(ValidationError) as raised:
        template.full_clean()
    return raised.value.message_dict


class TestPlaceholders:
    @pytest.mark.parametrize(
        ("text", "names"),
        [
            ("", ()),
            ("no variables", ()),
            ("Hello ${name}", ("name",)),
            ("${b} ${a} ${b}", ("b", "a")),
            ("${name1}${_x}", ("name1", "_x")),
            ("$name {name} $ {name} ${} ${1a} ${a b} ${a-b} ${ä}", ()),
            ("$${price}", ("price",)),
            ("${a}${b}", ("a", "b")),
        ],
    )
    def test_names_come_once_in_their_order(self, text, names):
        assert placeholder_names(text) == names

    @pytest.mark.parametrize(
        ("text", "params", "rendered"),
        [
            ("Hello ${name}", {"name": "Ada"}, "Hello Ada"),
            ("${a}${b}", {"a": "${b}", "b": "x"}, "${b}x"),
            ("${a}", {"a": r"\1 \g<0> $1 %s {0}"}, r"\1 \g<0> $1 %s {0}"),
            ("$${price}", {"price": "5"}, "$5"),
            ("${a} ${b}", {"a": "x"}, "x ${b}"),
            ("${a}", {"a": ""}, ""),
            ("${a}", {"a": "x", "other": "y"}, "x"),
        ],
    )
    def test_values_are_filled_in_once(self, text, params, rendered):
        assert render(text, params) == rendered

    def test_a_wiped_value_matches_anything_and_the_rest_itself(self):
        pattern = matching_pattern("Your code (${code}) for ${who}.", {"who": "Ada+Eve"})
        assert pattern.fullmatch("Your code (12\n34) for Ada+Eve.")
        assert not pattern.fullmatch("Your code (1234) for Adaa.")

    @pytest.mark.parametrize(
        "text", ["${", "Hello ${name", "${}", "${1st}", "${first name}", "${first-name}", "${näme}", "a ${b} ${"]
    )
    def test_what_begins_a_placeholder_and_is_none_is_refused(self, text):
        assert "not complete" in errors_of(text=text)["text"][0]

    def test_a_name_that_is_too_long_is_refused(self):
        assert "at most 32" in errors_of(text="${" + "a" * 33 + "}")["text"][0]
        SmsTemplate(key="a", name="a", text="${" + "a" * 32 + "}").full_clean()

    @pytest.mark.parametrize("text", ["$5 {x} }", "$name", "$${price}", "{name}", "100%", "$${a}{b}"])
    def test_single_signs_are_nothing_special(self, text):
        SmsTemplate(key="a", name="a", text=text).full_clean()


class TestPurposes:
    @pytest.mark.parametrize(
        ("purpose", "text"),
        [
            (Purpose.OTP, "${code}"),
            (Purpose.OTP, "${code} is valid for ${minutes} minutes"),
            (Purpose.APPROVAL, "${processTitle} by ${userNick}"),
            (Purpose.CC, "${userNick}: ${processTitle}"),
            (Purpose.NOTIFICATION, "${anything} at ${all}"),
            (Purpose.NOTIFICATION, "nothing"),
            (Purpose.MARKETING, "${what}"),
        ],
    )
    def test_its_own_variables_are_fine(self, purpose, text):
        SmsTemplate(key="a", name="a", text=text, purpose=purpose).full_clean()

    @pytest.mark.parametrize(
        ("purpose", "text", "words"),
        [
            (Purpose.OTP, "no code", r"needs ${code}"),
            (Purpose.OTP, "${minutes}", r"needs ${code}"),
            (Purpose.OTP, "${code} for ${name}", r"cannot use ${name}. It may use: ${code}, ${minutes}"),
            (Purpose.APPROVAL, "${processTitle}", r"needs ${userNick}"),
            (Purpose.APPROVAL, "${processTitle} ${userNick} ${link}", r"cannot use ${link}"),
            (Purpose.CC, "nothing", r"needs ${processTitle}, ${userNick}"),
        ],
    )
    def test_others_and_missing_ones_are_found_on_save(self, purpose, text, words):
        assert words in errors_of(purpose=purpose, text=text)["text"][0]

    def test_without_text_the_declared_variables_count(self):
        SmsTemplate(key="a", name="a", variables="code", purpose=Purpose.OTP).full_clean()
        assert "needs ${code}" in errors_of(purpose=Purpose.OTP, variables="minutes")["variables"][0]
        assert "cannot use ${kod}" in errors_of(purpose=Purpose.OTP, variables="code, kod")["variables"][0]

    def test_an_unknown_purpose_is_refused(self):
        assert "purpose" in errors_of(purpose="fun", text="x")

    def test_a_form_refuses_a_text_that_no_provider_takes(self):
        form = modelform_factory(SmsTemplate, fields=["text"])({"text": "a" * 1601})
        assert "text" in form.errors


class TestKeys:
    @pytest.mark.parametrize("key", ["SMS_123456", "SMS_1", "SMS_0"])
    def test_a_key_does_not_look_like_a_code(self, key):
        assert "template code" in errors_of(key=key, text="x")["key"][0]

    @pytest.mark.parametrize("key", ["sms_123456", "SMS_", "SMS_12a", "SMS-123456", "MY_SMS_123456", "login"])
    def test_other_keys_are_fine(self, key):
        SmsTemplate(key=key, name="a", text="x").full_clean()

    @pytest.mark.parametrize("key", ["", "with space", "ä", "a" * 51])
    def test_a_key_is_a_slug(self, key):
        assert "key" in errors_of(key=key, text="x")

    def test_a_key_is_unique(self):
        create_template(key="greeting")
        assert "key" in errors_of(key="greeting", text="x")


class TestCodes:
    @pytest.fixture
    def service(self, alibaba_cloud):
        return create_service(alibaba_cloud)

    @pytest.mark.parametrize("simulator", [AlibabaCloudSimulator], indirect=True)
    def test_a_service_that_sends_by_code_needs_one(self, simulator):
        service = create_service(simulator)
        template = create_template(key="bare")
        with pytest.raises(UnusableTemplate, match=r"Bare.*no template code for “Alibaba Cloud”"):
            template.code_for(service)
        TemplateCode.objects.create(template=template, service=service, code="SMS_1")
        assert template.code_for(service) == "SMS_1"

    @pytest.mark.parametrize("simulator", [AwsSnsSimulator, TwilioSimulator], indirect=True)
    def test_a_service_that_sends_texts_needs_one(self, simulator):
        service = create_service(simulator)
        assert create_template().code_for(service) == ""
        with pytest.raises(UnusableTemplate, match=r"Bare.*has no text"):
            create_template(key="bare", text="").code_for(service)

    def test_a_code_of_another_service_does_not_count(self, service, alibaba_cloud):
        other = create_service(alibaba_cloud, key="other")
        template = create_template(other, code="SMS_1")
        with pytest.raises(UnusableTemplate):
            template.code_for(service)

    def test_a_template_has_one_code_per_service(self, service):
        template = create_template(service, code="SMS_1")
        with pytest.raises(IntegrityError), transaction.atomic():
            TemplateCode.objects.create(template=template, service=service, code="SMS_2")

    def test_a_code_stands_for_one_template(self, service):
        create_template(service, code="SMS_1")
        with pytest.raises(IntegrityError), transaction.atomic():
            create_template(service, key="other", code="SMS_1")

    def test_a_service_with_codes_cannot_be_deleted(self, service):
        create_template(service, code="SMS_1")
        with pytest.raises(IntegrityError):
            service.delete()

    def test_codes_go_with_their_template(self, service):
        create_template(service, code="SMS_1").delete()
        assert not TemplateCode.objects.exists()


class TestVariables:
    def test_they_are_those_of_the_text(self):
        assert SmsTemplate(text="${b} ${a}", variables="ignored").variable_names == ("b", "a")

    @pytest.mark.parametrize(
        ("declared", "names"),
        [("", ()), ("a", ("a",)), ("a,b", ("a", "b")), (" a , b ,, ", ("a", "b")), ("a, a", ("a",))],
    )
    def test_without_text_they_are_the_declared_ones(self, declared, names):
        assert SmsTemplate(variables=declared).variable_names == names

    @pytest.mark.parametrize("declared", ["a b", "${a}", "a;b", "1st", "a" * 33, "ä"])
    def test_declared_ones_are_names(self, declared):
        (words,) = [message for messages in errors_of(variables=declared).values() for message in messages]
        assert "variable" in words

    def test_exactly_they_are_taken(self):
        template = SmsTemplate(name="Greeting", text="${a} ${b}")
        template.check_params({"a": "1", "b": "2"})
        for params, words in (
            ({"a": "1"}, "“Greeting” also needs: b"),
            ({}, "also needs: a, b"),
            ({"a": "1", "b": "2", "c": "3"}, r"\bc\b.*It takes: a, b"),
        ):
            with pytest.raises(InvalidParams, match=words):
                template.check_params(params)
