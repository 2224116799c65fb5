"""Templates from the provider: differences are shown first, what is shown is written, what is not approved stays."""

from __future__ import annotations

import re
from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from sms_services.api import queue_message, send_message
from sms_services.choices import MessageStatus, Purpose, TemplateKind, TemplateStatus
from sms_services.exceptions import InvalidParams, ListingFailed, UnusableTemplate
from sms_services.importing import SHOWN_AT_ONCE, Imported, apply, compare
from sms_services.models import AlibabaCloudSms, SandboxSms, SmsMessage, SmsService, SmsTemplate, TemplateCode
from sms_services.providers import get_provider
from sms_services.providers.base import OutgoingMessage
from tests.services_under_test import create_service, create_template
from tests.simulators import AlibabaCloudSimulator, Fault, Sign, Template
from tests.test_admin_services import make_staff

pytest_plugins = ["tests.services_under_test"]
pytestmark = pytest.mark.django_db

LISTING = ["QuerySmsTemplateList"]
PENDING, REJECTED, CANCELLED = "AUDIT_STATE_INIT", "AUDIT_STATE_NOT_PASS", "AUDIT_SATE_CANCEL"
NOTIFICATION = {"template_type": 0, "outer_template_type": 1}
MARKETING = {"template_type": 1, "outer_template_type": 2}
INTERNATIONAL = {"template_type": 6, "outer_template_type": 3}
AMBIGUOUS, MAINLAND, ABROAD = "+13125550100", "+8613800000001", "+12065550100"


def registered(count: int) -> list[Template]:
    """Notifications as a platform lists them."""
    return [
        Template(f"SMS_{200000 + number}", f"Parcel ${{parcel}} {number}", f"Parcel {number}", **NOTIFICATION)
        for number in range(count)
    ]


def take_all(service: SmsService) -> Imported:
    return apply(service, compare(service).all_chosen)


def import_url(service: SmsService) -> str:
    return reverse("admin:sms_services_smsservice_import", args=[service.pk])


def confirm(client: Any, service: SmsService, page: Any, codes: list[str] | None = None) -> str:
    """Press the button of a page that was shown."""
    return press(client, service, page, codes).content.decode()


def press(client: Any, service: SmsService, page: Any, codes: list[str] | None = None) -> Any:
    """What the browser sends then; all boxes are ticked unless said otherwise."""
    boxes = re.findall(r'type="checkbox" name="change" value="([^"]+)"', page.content.decode())
    ticked = [box for box in boxes if codes is None or box.rpartition(":")[0] in codes]
    return client.post(import_url(service), {"change": ticked}, follow=True)


def rows() -> list[tuple[Any, ...]]:
    """Everything that an import may write."""
    return [
        *SmsTemplate.objects.order_by("pk").values_list("pk", "key", "name", "text", "purpose"),
        *TemplateCode.objects.order_by("pk").values_list("template", "code", "platform_status", "platform_reason"),
    ]


@pytest.fixture
def platform(alibaba_cloud) -> AlibabaCloudSimulator:
    return alibaba_cloud


@pytest.fixture
def service(platform, broker) -> AlibabaCloudSms:
    return create_service(platform)


class TestAsking:
    def test_all_pages_are_read(self, platform, service):
        platform.templates = registered(230)
        found = get_provider(service).registered_templates()
        assert [template.code for template in found] == [template.code for template in platform.templates]
        assert [request.action for request in platform.requests] == LISTING * 5

    @pytest.mark.parametrize("count", [0, 1, 49, 50, 51, 100])
    def test_every_number_of_templates_is_whole(self, platform, service, count):
        platform.templates = registered(count)
        assert len(get_provider(service).registered_templates()) == count

    @pytest.mark.parametrize(
        ("types", "kind"),
        [
            ({"template_type": 2, "outer_template_type": 0}, TemplateKind.OTP),
            (NOTIFICATION, TemplateKind.NOTIFICATION),
            (MARKETING, TemplateKind.MARKETING),
            (INTERNATIONAL, TemplateKind.INTERNATIONAL),
            ({"template_type": 6, "outer_template_type": None}, TemplateKind.INTERNATIONAL),
            ({"template_type": 0, "outer_template_type": None}, TemplateKind.NOTIFICATION),
            ({"template_type": 9, "outer_template_type": 7}, None),
        ],
    )
    def test_types_are_read_as_documented(self, platform, service, types, kind):
        platform.templates = [Template("SMS_1", "Hello", **types)]
        assert get_provider(service).registered_templates()[0].kind == kind

    @pytest.mark.parametrize(
        ("state", "status"),
        [
            ("AUDIT_STATE_PASS", TemplateStatus.APPROVED),
            (PENDING, TemplateStatus.PENDING),
            (REJECTED, TemplateStatus.REJECTED),
            ("AUDIT_STATE_CANCEL", TemplateStatus.CANCELLED),
            (CANCELLED, TemplateStatus.CANCELLED),
        ],
    )
    def test_states_are_read_as_documented(self, platform, service, state, status):
        platform.templates = [Template("SMS_1", "Hello", audit_status=state)]
        assert get_provider(service).registered_templates()[0].status == status

    def test_a_reason_is_only_kept_for_what_is_not_approved(self, platform, service):
        platform.templates = [
            Template("SMS_1", "Hello", audit_status=REJECTED, reject_reason="Say who sends it"),
            Template("SMS_2", "Hello", reject_reason="无审批备注"),
        ]
        reasons = [template.reason for template in get_provider(service).registered_templates()]
        assert reasons == ["Say who sends it", ""]

    @pytest.mark.parametrize(
        "answer",
        [
            {"SmsTemplateList": []},
            {"SmsTemplateList": [], "TotalCount": 3},
            {"TotalCount": 1, "SmsTemplateList": [{"TemplateCode": "SMS_1"}]},
            {"TotalCount": 1, "SmsTemplateList": "SMS_1"},
            {"TotalCount": 1, "SmsTemplateList": [None]},
            {
                "TotalCount": 1,
                "SmsTemplateList": [Template("SMS_1", "Hello", audit_status="AUDIT_STATE_NEW").as_dto()],
            },
            {"TotalCount": 1, "SmsTemplateList": [Template("SMS_1", "").as_dto()]},
            {"TotalCount": 1, "SmsTemplateList": [Template("", "Hello").as_dto()]},
        ],
    )
    def test_half_an_answer_is_no_answer(self, service, answer):
        provider = get_provider(service)
        body = {"Code": "OK", "RequestId": "1", **answer}
        provider.client.call_api = lambda params, request, runtime: {"body": body, "headers": {}, "statusCode": 200}
        with pytest.raises(ListingFailed):
            provider.registered_templates()

    def test_a_list_that_changes_between_its_pages_is_no_answer(self, platform, service, monkeypatch):
        platform.templates = registered(120)
        answer = platform._query_sms_template_list

        def deleting(parameters: dict[str, str]) -> dict[str, Any]:
            page = answer(parameters)
            platform.templates = platform.templates[1:]
            return page

        monkeypatch.setattr(platform, "_query_sms_template_list", deleting)
        with pytest.raises(ListingFailed, match="Try again"):
            get_provider(service).registered_templates()

    def test_the_number_of_pages_is_bounded(self, platform, service, monkeypatch):
        monkeypatch.setattr("sms_services.providers.alibaba_cloud.MAX_TEMPLATE_PAGES", 2)
        platform.templates = registered(101)
        with pytest.raises(ListingFailed, match="more than can be read"):
            get_provider(service).registered_templates()

    def test_the_permission_that_is_missing_is_named(self, platform, service):
        platform.refuse("Forbidden.RAM", actions=LISTING, status=403)
        with pytest.raises(ListingFailed, match=r"Forbidden\.RAM.*dysms:QuerySmsTemplateList"):
            get_provider(service).registered_templates()


class TestComparing:
    def test_it_writes_nothing(self, platform, service):
        platform.templates = registered(230)
        assert len(compare(service).new) == 230
        assert rows() == []

    def test_new_ones_get_key_name_text_purpose_and_code(self, platform, service):
        platform.templates = [
            Template("SMS_1", "Your code is ${code}", "Login code", audit_status=PENDING),
            Template("SMS_2", "Parcel ${parcel}", "Parcel!", **NOTIFICATION),
            Template("SMS_3", "Sale", "大减价", **MARKETING),
            Template("SMS_4", "Hello", "SMS_4", **NOTIFICATION),
            Template("SMS_5", "Bye ${name}", "Parcel?", **NOTIFICATION),
            Template("SMS_6", "Code ${code}", "2026", **INTERNATIONAL),
            Template("SMS_7", "Hello ${name}", "x" * 80, **INTERNATIONAL),
        ]
        assert take_all(service) == Imported(new=7)
        found = TemplateCode.objects.select_related("template").order_by("pk")
        assert [(row.code, row.template.key, row.template.purpose, row.platform_kind) for row in found] == [
            ("SMS_1", "login-code", "otp", "otp"),
            ("SMS_2", "parcel-2", "notification", "notification"),
            ("SMS_3", "sms-3", "marketing", "marketing"),
            ("SMS_4", "sms-4", "notification", "notification"),
            ("SMS_5", "parcel-5", "notification", "notification"),
            ("SMS_6", "sms-6", "otp", "international"),
            ("SMS_7", "x" * 50, "notification", "international"),
        ]
        assert found[0].platform_status == TemplateStatus.PENDING
        assert found[0].checked_at is not None
        assert (found[1].template.name, found[1].template.text) == ("Parcel!", "Parcel ${parcel}")
        for row in found:
            row.template.full_clean()

    def test_a_text_that_breaks_our_rules_is_shown_with_the_reason_and_not_imported(self, platform, service):
        platform.templates = [
            Template("SMS_1", "Code ${vcode}", "Login"),
            Template("SMS_2", "Hello ${first name}", "Hello", **NOTIFICATION),
            Template("SMS_3", "Picture", "Digital", template_type=9, outer_template_type=7),
        ]
        comparison = compare(service)
        assert [change.code for change in comparison.impossible] == ["SMS_1", "SMS_2", "SMS_3"]
        assert "cannot use ${vcode}" in comparison.impossible[0].problem
        assert comparison.all_chosen == {}
        chosen = {change.code: change.fingerprint for change in comparison.changes}
        assert apply(service, chosen) == Imported(left_alone=("SMS_1", "SMS_2", "SMS_3"))
        assert rows() == []

    def test_a_second_service_of_the_account_shares_the_templates(self, platform, service):
        platform.templates = registered(3)
        take_all(service)
        second = create_service(platform, key="second", name="Second")
        assert take_all(second) == Imported(new=3)
        assert SmsTemplate.objects.count() == 3
        assert compare(second).changes == []

    def test_a_template_never_gets_two_codes_of_one_service(self, platform, service):
        second = create_service(platform, key="second", name="Second")
        third = create_service(platform, key="third", name="Third")
        template = create_template(second, code="SMS_1", text="Hello")
        TemplateCode.objects.create(template=template, service=third, code="SMS_2")
        platform.templates = [Template(f"SMS_{n}", "Hello", f"Greeting {n}", **NOTIFICATION) for n in (1, 2)]
        assert take_all(service) == Imported(new=2)
        assert template.codes.count() == 3

    def test_what_cannot_be_imported_hides_nothing(self, platform, service):
        platform.templates = registered(3)
        take_all(service)
        broken = [Template(f"SMS_1{n:05}", "Hello ${", f"Broken {n}", **NOTIFICATION) for n in range(SHOWN_AT_ONCE)]
        platform.templates = [*broken, *(replace(template, content="New") for template in platform.templates)]
        assert take_all(service) == Imported(changed=3)

    def test_more_than_a_page_can_hold_comes_in_parts(self, platform, service):
        platform.templates = registered(SHOWN_AT_ONCE + 30)
        assert compare(service).left == 30
        assert take_all(service) == Imported(new=SHOWN_AT_ONCE)
        assert take_all(service) == Imported(new=30)
        assert compare(service).changes == []


class TestImportingAgain:
    @pytest.fixture(autouse=True)
    def imported(self, platform, service):
        platform.templates = registered(4)
        take_all(service)

    def change(self, platform: AlibabaCloudSimulator, number: int, **fields: Any) -> None:
        platform.templates[number] = replace(platform.templates[number], **fields)

    def test_nothing_is_left_to_do(self, platform, service):
        comparison = compare(service)
        assert (comparison.changes, comparison.unchanged) == ([], 4)

    def test_text_status_and_reason_are_updated_and_name_key_and_purpose_stay(self, platform, service):
        SmsTemplate.objects.filter(key="parcel-0").update(name="Ours", purpose="marketing")
        self.change(platform, 0, content="New ${parcel}", name="Theirs", audit_status=REJECTED, reject_reason="No")
        (change,) = compare(service).changed
        assert (change.old_text, change.new_text) == ("Parcel ${parcel} 0", "New ${parcel}")
        assert (change.old_status, change.status) == ("Approved", TemplateStatus.REJECTED)
        assert take_all(service) == Imported(changed=1)
        template = SmsTemplate.objects.get(key="parcel-0")
        assert (template.name, template.purpose, template.text) == ("Ours", "marketing", "New ${parcel}")
        code = template.codes.get()
        assert (code.platform_status, code.platform_reason) == ("rejected", "No")

    def test_vanished_ones_are_marked_and_never_deleted(self, platform, service):
        del platform.templates[1]
        assert [change.code for change in compare(service).gone] == ["SMS_200001"]
        assert take_all(service) == Imported(gone=1)
        assert TemplateCode.objects.get(code="SMS_200001").platform_status == TemplateStatus.GONE
        assert SmsTemplate.objects.count() == 4
        assert compare(service).changes == []

    def test_one_that_comes_back_is_usable_again(self, platform, service):
        kept = platform.templates
        platform.templates = kept[1:]
        take_all(service)
        platform.templates = kept
        assert take_all(service) == Imported(changed=1)
        assert SmsTemplate.objects.get(key="parcel-0").problem_with(service) is None

    def test_what_was_left_out_stays_as_it_is(self, platform, service):
        self.change(platform, 0, content="New")
        self.change(platform, 1, content="Newer")
        apply(service, {"SMS_200001": compare(service).all_chosen["SMS_200001"]})
        assert [change.code for change in compare(service).changed] == ["SMS_200000"]

    def test_a_text_that_others_send_too_is_shown_as_such(self, admin_client, platform, service):
        other = create_service(platform, key="other", name="The other")
        TemplateCode.objects.create(template=SmsTemplate.objects.get(key="parcel-0"), service=other, code="SMS_9")
        self.change(platform, 0, content="New")
        assert compare(service).changed[0].shared_with == ("The other",)
        assert "for: The other." in admin_client.get(import_url(service)).content.decode()

    def test_a_text_with_other_variables_is_shown_as_such(self, admin_client, platform, service):
        self.change(platform, 0, content="New ${parcel} at ${place}")
        words = admin_client.get(import_url(service)).content.decode()
        assert "other variables from now on: parcel, place." in words

    def test_a_new_text_that_breaks_our_rules_is_not_taken_but_the_status_is(self, platform, service):
        self.change(platform, 0, content="New ${", audit_status=PENDING)
        assert take_all(service) == Imported(changed=1)
        template = SmsTemplate.objects.get(key="parcel-0")
        assert (template.text, template.codes.get().platform_status) == ("Parcel ${parcel} 0", "pending")
        assert [change.code for change in compare(service).impossible] == ["SMS_200000"]

    def test_line_ends_of_forms_are_no_change(self, platform, service):
        self.change(platform, 0, content="One\nTwo")
        SmsTemplate.objects.filter(key="parcel-0").update(text="One\r\nTwo")
        assert compare(service).changes == []

    def test_another_code_has_nothing_of_the_old_ones_status(self, admin_client, platform, service):
        self.change(platform, 0, audit_status=REJECTED)
        take_all(service)
        template = SmsTemplate.objects.get(key="parcel-0")
        form = {"name": "x", "key": "parcel-0", "purpose": "notification", "text": "Hi", "variables": ""}
        form |= {"codes-TOTAL_FORMS": "1", "codes-INITIAL_FORMS": "1", "codes-0-id": str(template.codes.get().pk)}
        form |= {"codes-0-template": str(template.pk), "codes-0-service": str(service.pk), "codes-0-code": "SMS_77"}
        url = reverse("admin:sms_services_smstemplate_change", args=[template.pk])
        assert admin_client.post(url, form).status_code == 302
        code = template.codes.get()
        assert (code.code, code.platform_status, code.checked_at) == ("SMS_77", "", None)


class TestSending:
    @pytest.fixture
    def template(self, service) -> SmsTemplate:
        return create_template(service)

    @pytest.mark.parametrize(
        ("status", "words"),
        [
            (TemplateStatus.PENDING, "under review"),
            (TemplateStatus.REJECTED, "rejected"),
            (TemplateStatus.CANCELLED, "review cancelled"),
            (TemplateStatus.GONE, "no longer there"),
        ],
    )
    @pytest.mark.parametrize("call", [send_message, queue_message])
    @pytest.mark.parametrize("spelling", ["template", "key", "code"])
    @pytest.mark.django_db(transaction=True)
    def test_what_is_not_approved_is_refused_before_anything_is_stored(
        self, platform, service, template, status, words, call, spelling
    ):
        template.codes.update(platform_status=status, platform_reason="Say who sends it")
        given = {"template": template, "key": template.key, "code": "SMS_100001"}[spelling]
        with pytest.raises(UnusableTemplate, match=rf"{words}.*Say who sends it"):
            call(service, [MAINLAND], given, {"name": "Ada"})
        assert not SmsMessage.objects.exists()
        assert platform.requests == []

    @pytest.mark.parametrize("send", [send_message, queue_message])
    @pytest.mark.django_db(transaction=True)
    @pytest.mark.databases
    def test_a_pending_one_of_230_is_refused_until_its_approval_is_imported(
        self, admin_client, platform, service, broker, send
    ):
        platform.templates = registered(230)
        platform.templates[120] = replace(platform.templates[120], audit_status=PENDING)
        confirm(admin_client, service, admin_client.get(import_url(service)))
        with pytest.raises(UnusableTemplate, match="still reviewing SMS_200120"):
            send(service, MAINLAND, "parcel-120", {"parcel": "A1"})
        assert not SmsMessage.objects.exists()
        assert platform.journal == []
        send(service, MAINLAND, "parcel-121", {"parcel": "A1"})
        platform.templates[120] = replace(platform.templates[120], audit_status="AUDIT_STATE_PASS")
        page = admin_client.get(import_url(service))
        with pytest.raises(UnusableTemplate):  # shown is not imported
            send(service, MAINLAND, "parcel-120", {"parcel": "A1"})
        confirm(admin_client, service, page)
        send(service, MAINLAND, "parcel-120", {"parcel": "A2"})
        broker.work()
        assert [message.template_code for message in platform.journal] == ["SMS_200121", "SMS_200120"]

    @pytest.mark.parametrize("status", ["", TemplateStatus.APPROVED])
    @pytest.mark.django_db(transaction=True)
    def test_what_is_approved_or_was_never_asked_for_is_sent(self, service, template, status):
        template.codes.update(platform_status=status)
        (message,) = send_message(service, MAINLAND, template, {"name": "Ada"})
        assert message.status == MessageStatus.SENT

    @pytest.mark.django_db(transaction=True)
    def test_what_is_queued_already_is_left_to_the_provider(self, platform, service, template, broker):
        platform.templates = [Template("SMS_100001", template.text, audit_status=REJECTED, **NOTIFICATION)]
        (message,) = queue_message(service, MAINLAND, template, {"name": "Ada"})
        take_all(service)
        broker.work()
        message.refresh_from_db()
        assert (message.status, message.provider_code) == (MessageStatus.FAILED, "isv.SMS_TEMPLATE_ILLEGAL")

    def test_forms_are_told_what_is_wrong(self, service, template):
        assert template.problem_with(service) is None
        template.codes.update(platform_status=TemplateStatus.REJECTED)
        assert "rejected" in template.problem_with(service)
        text_service = SandboxSms.objects.create(key="sandbox", name="Sandbox")
        assert template.problem_with(text_service) is None
        template.codes.all().delete()
        assert "no template code" in template.problem_with(service)

    def test_forms_are_told_without_a_query_where_the_codes_were_prefetched(
        self, service, template, django_assert_num_queries
    ):
        template.codes.update(platform_status=TemplateStatus.REJECTED)
        other = AlibabaCloudSms.objects.create(key="other", name="Other", verify_sign="Example")
        (prefetched,) = SmsTemplate.objects.filter(pk=template.pk).prefetch_related("codes")
        with django_assert_num_queries(0):
            told = [prefetched.problem_with(each) for each in (service, other)]
        assert told == [template.problem_with(each) for each in (service, other)]
        assert "rejected" in told[0]
        assert "no template code" in told[1]

    def test_sending_goes_by_the_code_of_now_where_the_codes_were_prefetched(self, service, template):
        (prefetched,) = SmsTemplate.objects.filter(pk=template.pk).prefetch_related("codes")
        template.codes.update(code="SMS_100009")
        assert prefetched.code_for(service) == "SMS_100009"
        template.codes.update(platform_status=TemplateStatus.REJECTED)
        with pytest.raises(UnusableTemplate, match="rejected"):
            prefetched.registration_for(service)

    def test_what_is_missing_is_told_apart_from_what_is_not_approved(self, service, template):
        assert (template.missing_for(service), template.unapproved_by(service)) == (None, None)
        template.codes.update(platform_status=TemplateStatus.REJECTED)
        assert template.missing_for(service) is None
        assert "rejected" in template.unapproved_by(service)
        template.codes.all().delete()
        assert "no template code" in template.missing_for(service)
        assert template.unapproved_by(service) is None

    def test_admin_marks_it_in_lists_and_forms(self, admin_client, service, template):
        template.codes.update(platform_status=TemplateStatus.REJECTED, platform_reason="Say who sends it")
        listed = admin_client.get(reverse("admin:sms_services_smstemplate_changelist")).content.decode()
        assert "(Rejected)" in listed
        detail = admin_client.get(reverse("admin:sms_services_smstemplate_change", args=[template.pk]))
        assert "Say who sends it" in detail.content.decode()
        test = reverse("admin:sms_services_smsservice_test", args=[service.pk])
        assert "Greeting (Rejected)" in admin_client.get(test).content.decode()
        form = {"phone_number": MAINLAND, "template": template.pk, "variable_name": "Ada"}
        assert "has rejected SMS_100001" in admin_client.post(test, form).content.decode()
        assert not SmsMessage.objects.exists()


class TestRegions:
    def problem(self, service: SmsService, kind: str, number: str) -> str | None:
        message = OutgoingMessage(number, Purpose.NOTIFICATION, "Hello", "SMS_1", template_kind=kind)
        return service.build_provider().problem_with(message)

    @pytest.mark.parametrize(
        ("kind", "number", "words"),
        [
            ("", MAINLAND, None),
            ("", ABROAD, None),
            ("", AMBIGUOUS, "would take this number for one in mainland China"),
            ("notification", MAINLAND, None),
            ("notification", ABROAD, "for numbers in mainland China"),
            ("otp", "+85261234567", "for numbers in mainland China"),
            ("marketing", AMBIGUOUS, "for numbers in mainland China"),
            ("international", MAINLAND, "for numbers abroad"),
            ("international", ABROAD, None),
            ("international", "+85261234567", None),
            ("international", AMBIGUOUS, None),
        ],
    )
    def test_a_template_is_for_one_part_of_the_world(self, service, kind, number, words):
        problem = self.problem(service, kind, number)
        assert problem is None if words is None else words in (problem or "")

    @pytest.mark.django_db(transaction=True)
    def test_an_imported_international_template_reaches_north_american_numbers_that_look_chinese(
        self, platform, service
    ):
        platform.templates = [Template("SMS_1", "Hello ${name}", "Hello", **INTERNATIONAL)]
        take_all(service)
        (message,) = send_message(service, AMBIGUOUS, "hello", {"name": "Ada"})
        assert message.status == MessageStatus.SENT
        assert [accepted.phone_number for accepted in platform.journal] == [AMBIGUOUS]
        with pytest.raises(InvalidParams, match="numbers abroad"):
            send_message(service, MAINLAND, "hello", {"name": "Ada"})

    def test_no_mainland_number_ever_leaves_with_an_international_template(self, platform, service):
        message = OutgoingMessage(MAINLAND, Purpose.NOTIFICATION, "", "SMS_1", template_kind="international")
        (result,) = get_provider(service).send([message], "batch")
        assert result.code == "isv.DOMESTIC_NUMBER_NOT_SUPPORTED"
        assert platform.requests == []


class TestPage:
    def test_230_templates_are_shown_before_they_are_written(self, admin_client, platform, service):
        platform.templates = registered(230)
        page = admin_client.get(import_url(service))
        assert "New: 230" in page.content.decode()
        assert rows() == []
        assert "Imported: 230 new" in confirm(admin_client, service, page)
        assert SmsTemplate.objects.count() == TemplateCode.objects.count() == 230
        assert LogEntry.objects.filter(change_message__contains="230 new").count() == 1

    def test_new_changed_and_vanished_ones_are_told_apart(self, admin_client, platform, service):
        platform.templates = registered(3)
        take_all(service)
        platform.templates[0] = replace(platform.templates[0], content="Changed ${parcel}")
        platform.templates[1:2] = [Template("SMS_300000", "Brand new", "Brand new", **NOTIFICATION)]
        before = rows()
        page = admin_client.get(import_url(service))
        words = page.content.decode()
        assert rows() == before
        for count in ("New: 1", "Changed: 1", "No longer there: 1", "Unchanged: 1"):
            assert count in words
        assert "Parcel ${parcel} 0" in words
        assert "Changed ${parcel}" in words
        assert "Imported: 1 new, 1 changed, 1 marked" in confirm(admin_client, service, page)

    def test_what_is_not_ticked_is_left_out(self, admin_client, platform, service):
        platform.templates = registered(3)
        page = admin_client.get(import_url(service))
        confirm(admin_client, service, page, ["SMS_200001"])
        assert [code.code for code in TemplateCode.objects.all()] == ["SMS_200001"]
        page = admin_client.get(import_url(service), {"tick": "none"})
        assert " checked" not in page.content.decode()
        assert "nothing was imported" in confirm(admin_client, service, page, [])

    def test_what_changed_on_the_platform_meanwhile_is_left_alone_and_shown_again(
        self, admin_client, platform, service
    ):
        platform.templates = registered(3)
        page = admin_client.get(import_url(service))
        platform.templates[0] = replace(platform.templates[0], content="Smuggled in")
        words = confirm(admin_client, service, page)
        assert "Imported: 2 new" in words
        assert "1 template was edited meanwhile, here or on the platform, and left alone: SMS_200000." in words
        assert "Smuggled in" in words
        assert not SmsTemplate.objects.filter(text="Smuggled in").exists()

    @pytest.mark.parametrize(
        "edit",
        [
            {"text": "Corrected by hand ${parcel}"},
            {"text": "parcel ${parcel} 0"},  # MariaDB takes these for equal
            {"purpose": Purpose.MARKETING},
            {"name": "Another"},
            {"key": "another"},
        ],
    )
    @pytest.mark.databases
    def test_what_an_admin_edited_meanwhile_is_left_alone_and_named(self, admin_client, platform, service, edit):
        platform.templates = registered(3)
        take_all(service)
        platform.templates = [replace(template, content=f"New {template.code}") for template in platform.templates]
        page = admin_client.get(import_url(service))
        SmsTemplate.objects.filter(key="parcel-0").update(**edit)
        edited = SmsTemplate.objects.filter(codes__code="SMS_200000")
        before = edited.values().get()
        words = confirm(admin_client, service, page)
        assert "Imported: 0 new, 2 changed" in words
        assert "left alone: SMS_200000." in words
        assert edited.values().get() == before
        assert set(SmsTemplate.objects.exclude(pk=before["id"]).values_list("text", flat=True)) == {
            "New SMS_200001",
            "New SMS_200002",
        }

    def test_many_that_were_left_alone_are_counted_and_some_named(self, admin_client, platform, service):
        platform.templates = registered(30)
        page = admin_client.get(import_url(service))
        take_all(service)
        words = confirm(admin_client, service, page)
        assert "30 templates were edited meanwhile" in words
        assert "SMS_200009, …. Compare again." in words
        assert "SMS_200010" not in words

    @pytest.mark.parametrize("change", ["SMS_200000", "SMS_200000:", f"SMS_200000:{'0' * 32}", ":", "", "SMS_9:x"])
    def test_a_post_without_what_was_shown_writes_nothing(self, admin_client, platform, service, change):
        platform.templates = registered(3)
        answer = admin_client.post(import_url(service), {"change": [change]}, follow=True)
        assert "left alone" in answer.content.decode()
        assert rows() == []

    @pytest.mark.parametrize("method", ["get", "post"])
    @pytest.mark.parametrize(
        ("fail", "words"),
        [
            (lambda s: s.credentials.update(access_secret="another"), "SignatureDoesNotMatch"),
            (lambda s: s.refuse("Throttling.User", actions=LISTING, status=400), "Throttling.User"),
            (lambda s: s.fail(Fault.MALFORMED, actions=LISTING), "did not list"),
            (lambda s: s.fail(Fault.EMPTY, actions=LISTING), "did not list"),
            (lambda s: s.fail(Fault.SERVER_ERROR, actions=LISTING), "did not list"),
        ],
        ids=["credentials", "throttled", "malformed", "empty", "server_error"],
    )
    def test_what_the_provider_refuses_is_said_and_nothing_is_written(
        self, admin_client, platform, service, method, fail, words
    ):
        platform.templates = registered(3)
        page = admin_client.get(import_url(service))
        fail(platform)
        answer = press(admin_client, service, page) if method == "post" else admin_client.get(import_url(service))
        answer = answer.content.decode()
        assert words in answer
        assert "Try again" in answer
        assert rows() == []

    def test_a_third_page_that_fails_makes_the_whole_fail(self, admin_client, platform, service, monkeypatch):
        platform.templates = registered(230)
        answer = platform._query_sms_template_list

        def third_page_fails(parameters: dict[str, str]) -> dict[str, Any]:
            if parameters["PageIndex"] == "2":
                platform.refuse("Throttling.User", actions=LISTING, times=1)
            return answer(parameters)

        monkeypatch.setattr(platform, "_query_sms_template_list", third_page_fails)
        words = admin_client.get(import_url(service)).content.decode()
        assert "Throttling.User" in words
        assert rows() == []

    @pytest.mark.parametrize(
        ("signs", "words"),
        [
            (("AUDIT_STATE_PASS",), "approved"),
            ((REJECTED, "Use the full name of the company"), "Use the full name of the company"),
            ((PENDING,), "under review"),
        ],
    )
    def test_the_signature_is_checked_along(self, admin_client, platform, service, signs, words):
        platform.signs = [Sign(service.verify_sign, signs[0], reject_reason=signs[1] if len(signs) > 1 else "")]
        assert words in admin_client.get(import_url(service)).content.decode()
        verify = reverse("admin:sms_services_smsservice_verify", args=[service.pk])
        assert words in admin_client.post(verify, follow=True).content.decode()

    @pytest.mark.parametrize(
        ("permissions", "status"),
        [
            (("view_smsservice", "change_smsservice", "view_alibabacloudsms", "verify_smsservice"), 403),
            (("add_smstemplate", "change_smstemplate"), 403),
            (("import_smstemplate",), 403),
            (("import_smstemplate", "view_alibabacloudsms"), 200),
        ],
    )
    def test_it_needs_its_own_permission(self, client, platform, service, permissions, status):
        make_staff(client, *permissions)
        assert client.get(import_url(service)).status_code == status
        assert client.post(import_url(service), {"change": ["x"]}, follow=True).status_code == status
        if status == 403:
            assert platform.requests == []

    def test_the_services_page_offers_it_to_those_who_may(self, client, admin_client, service):
        change = reverse("admin:sms_services_smsservice_change", args=[service.pk])
        assert "Import templates" in admin_client.get(change).content.decode()
        make_staff(client, "view_smsservice", "view_alibabacloudsms")
        assert "Import templates" not in client.get(change).content.decode()

    def test_anonymous_visitors_are_sent_to_the_login(self, client, service):
        assert "/login/" in client.get(import_url(service)).url

    def test_other_kinds_of_services_have_no_such_page(self, admin_client):
        sandbox = SandboxSms.objects.create(key="sandbox", name="Sandbox")
        assert admin_client.get(import_url(sandbox)).status_code == 404
        change = reverse("admin:sms_services_smsservice_change", args=[sandbox.pk])
        assert "Import templates" not in admin_client.get(change).content.decode()

    def test_the_number_of_queries_does_not_grow(self, admin_client, platform, service):
        other = create_service(platform, key="other", name="Other")

        def queries() -> int:
            with CaptureQueriesContext(
                connection,
            ) as captured:
                admin_client.get(import_url(service))
            return len(captured)

        def grow(count: int) -> None:
            platform.templates = registered(count)
            take_all(other)
            take_all(service)
            platform.templates = [replace(t, content=f"New {t.code}") for t in platform.templates]
            platform.templates += [Template(f"SMS_4{n:05}", "Hi", f"Hi {n}", **NOTIFICATION) for n in range(count)]

        grow(3)
        few = queries()
        grow(60)
        assert queries() == few

    def test_what_the_platform_says_is_escaped(self, admin_client, platform, service):
        platform.templates = [Template("SMS_1", "<script>alert(1)</script>", "<b>Bold</b>", **NOTIFICATION)]
        words = admin_client.get(import_url(service)).content.decode()
        assert "<script>alert" not in words
        assert "<b>Bold" not in words


class TestCommand:
    def run(self, *arguments: str) -> str:
        out = StringIO()
        call_command("import_sms_templates", *arguments, stdout=out)
        return out.getvalue()

    def test_it_shows_first_and_writes_with_apply(self, platform, service):
        platform.templates = registered(2)
        words = self.run(service.key)
        assert "new: SMS_200000 Parcel 0: Approved" in words
        assert "Nothing was written" in words
        assert rows() == []
        assert "2 imported" in self.run(service.key, "--apply")
        platform.templates[0] = replace(platform.templates[0], content="Changed")
        words = self.run(service.key)
        assert "- Parcel ${parcel} 0" in words
        assert "+ Changed" in words

    def test_what_goes_wrong_is_said(self, platform, service):
        SandboxSms.objects.create(key="sandbox", name="Sandbox")
        for arguments, words in [(["nothing"], "no SMS service"), (["sandbox"], "no list of templates")]:
            with pytest.raises(CommandError, match=words):
                self.run(*arguments)
        platform.refuse("Throttling.User", actions=LISTING)
        with pytest.raises(CommandError, match=r"Throttling\.User"):
            self.run(service.key, "--apply")
