"""Templates and messages in admin: validation, preview, codes, and the masked list."""

import pytest
from django.urls import reverse

from sms_services.models import AlibabaCloudSms, SandboxSms, SmsAttempt, SmsMessage, SmsTemplate, TwilioSms
from tests.test_admin_services import FORMS, make_staff

pytestmark = pytest.mark.django_db

ADD = "admin:sms_services_smstemplate_add"
PREVIEW = "admin:sms_services_smstemplate_preview"


def posted(codes=(), **changes):
    form = {"name": "Hello", "key": "hello", "purpose": "notification", "text": "Hello ${name}", "variables": ""}
    form |= {"codes-TOTAL_FORMS": str(len(codes)), "codes-INITIAL_FORMS": "0"}
    for number, (service, code) in enumerate(codes):
        form |= {f"codes-{number}-service": str(service.pk), f"codes-{number}-code": code}
    return {**form, **changes}


@pytest.fixture
def alibaba_cloud():
    return AlibabaCloudSms.objects.create(key="cn", name="China", **FORMS[AlibabaCloudSms])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"text": "Hello ${name"}, "begins a placeholder"),
        ({"text": "Hello ${1st}"}, "begins a placeholder"),
        ({"text": "Hello ${" + "n" * 33 + "}"}, "is too long"),
        ({"text": "x" * 1601}, "at most 1600"),
        ({"key": "SMS_123456"}, "must not look like a template code"),
        ({"purpose": "otp", "text": "Your code is ${kode}"}, "cannot use ${kode}"),
        ({"purpose": "otp", "text": "Your code is on its way"}, "needs ${code}"),
        ({"purpose": "approval", "text": "${processTitle} waits"}, "needs ${userNick}"),
        ({"text": ""}, "at least one service that sends by code"),
    ],
)
def test_a_wrong_template_is_refused_with_what_to_do(admin_client, changes, words):
    page = admin_client.post(reverse(ADD), posted(**changes)).content.decode()
    assert words in page
    assert not SmsTemplate.objects.exists()


def test_a_template_can_have_a_text_and_codes(admin_client, alibaba_cloud):
    response = admin_client.post(reverse(ADD), posted([(alibaba_cloud, "SMS_123456")]))
    assert response.status_code == 302
    template = SmsTemplate.objects.get()
    assert template.code_for(alibaba_cloud) == "SMS_123456"


def test_a_template_without_text_lives_by_its_code_and_declared_variables(admin_client, alibaba_cloud):
    form = posted([(alibaba_cloud, "SMS_123456")], text="", variables="name, place")
    assert admin_client.post(reverse(ADD), form).status_code == 302
    assert SmsTemplate.objects.get().variable_names == ("name", "place")


def test_codes_are_only_offered_for_services_that_send_by_code(admin_client, alibaba_cloud):
    TwilioSms.objects.create(key="us", name="Elsewhere", **FORMS[TwilioSms])
    page = admin_client.get(reverse(ADD)).content.decode()
    assert ">China</option>" in page
    assert ">Elsewhere</option>" not in page


def test_one_code_belongs_to_one_template(admin_client, alibaba_cloud):
    admin_client.post(reverse(ADD), posted([(alibaba_cloud, "SMS_123456")]))
    page = admin_client.post(reverse(ADD), posted([(alibaba_cloud, "SMS_123456")], key="other")).content.decode()
    assert "already exists" in page


def test_the_preview_counts_by_each_service_and_names_what_forces_ucs_2(admin_client, alibaba_cloud):
    SandboxSms.objects.create(key="sandbox", name="Sandbox")
    text = "Hello ${name}, it’s " + "x" * 50
    page = admin_client.post(reverse(PREVIEW), {"text": text, "sample_name": "Zoë"}).content.decode()
    assert "Hello Zoë, it’s" in page
    assert "UCS-2 because of ë ’" in page
    assert "China" in page
    assert "Sandbox" in page


def test_the_preview_says_where_the_signature_is_counted(admin_client, alibaba_cloud):
    SandboxSms.objects.create(key="sandbox", name="Sandbox")
    page = " ".join(admin_client.post(reverse(PREVIEW), {"text": "x" * 60}).content.decode().split())
    signed = 60 + len(f"【{alibaba_cloud.verify_sign}】")
    assert f"China (mainland China)</th></tr> <tr> <td>{signed} with the signature</td>" in page
    assert "Sandbox</th></tr> <tr> <td>60</td>" in page


def test_the_preview_names_a_few_of_many_characters(admin_client):
    page = admin_client.post(reverse(PREVIEW), {"text": "您的包裹已经送达"}).content.decode()
    assert "UCS-2 because of 您 的 包 裹 已 经 …" in page


def test_a_template_with_a_chinese_name_gets_a_key_of_its_purpose_and_a_number(admin_client):
    assert "Left empty" in admin_client.get(reverse(ADD)).content.decode()
    for key in ("notification-1", "notification-2"):
        response = admin_client.post(reverse(ADD), posted(name="包裹通知", key=""))
        assert response.status_code == 302
        assert SmsTemplate.objects.latest("pk").key == key
    page = admin_client.post(reverse(ADD), posted(name="登录", key="", purpose="", text="Hello")).content.decode()
    assert "This field is required" in page


def test_services_are_not_added_or_deleted_from_a_templates_page(admin_client, alibaba_cloud):
    page = admin_client.get(reverse(ADD)).content.decode()
    assert "related-widget-wrapper-link" not in page


def test_the_preview_escapes_what_is_typed(admin_client):
    page = admin_client.post(reverse(PREVIEW), {"text": "<script>alert(1)</script>"}).content.decode()
    assert "<script>" not in page


def test_the_preview_needs_a_permission(client):
    make_staff(client, "view_smsservice")
    assert client.post(reverse(PREVIEW), {"text": "x"}).status_code == 403


def test_a_template_with_messages_can_be_deleted_and_its_messages_keep_their_wording(admin_client):
    service = SandboxSms.objects.create(key="sandbox", name="Sandbox")
    template = SmsTemplate.objects.create(key="hello", name="Hello", text="Hello", purpose="notification")
    message = SmsMessage.objects.create(
        service=service, template=template, phone_number="+12065550100", purpose="notification", text="Hello"
    )
    admin_client.post(reverse("admin:sms_services_smstemplate_delete", args=[template.pk]), {"post": "yes"})
    message.refresh_from_db()
    assert (message.template, message.text) == (None, "Hello")


@pytest.fixture
def messages():
    service = SandboxSms.objects.create(key="sandbox", name="Sandbox")
    return [
        SmsMessage.objects.create(
            service=service,
            phone_number=f"+120655501{number:02}",
            purpose="notification",
            text="Hello ${name}",
            params={"name": "Alexandra"},
            status="failed",
            error_kind="recipient",
            provider_code="sandbox.recipient",
        )
        for number in range(30)
    ]


def test_messages_are_listed_masked_and_read_only(admin_client, messages):
    page = admin_client.get(reverse("admin:sms_services_smsmessage_changelist")).content.decode()
    assert "+1 206****0100" in page
    assert "+12065550100" not in page
    detail = reverse("admin:sms_services_smsmessage_change", args=[messages[0].pk])
    page = admin_client.get(detail).content.decode()
    assert "This sandbox number refuses every text." in page
    assert "+12065550100" not in page
    assert "Alexandra" not in page
    assert admin_client.post(detail, {"status": "sent"}).status_code == 403
    assert admin_client.get(reverse("admin:sms_services_smsmessage_add")).status_code == 403
    assert admin_client.get(reverse("admin:sms_services_smsmessage_delete", args=[messages[0].pk])).status_code == 403


def test_the_failed_tries_stand_below_a_message(admin_client, messages):
    message = messages[0]
    SmsAttempt.objects.create(
        message=message,
        service=message.service,
        outcome="refused",
        error_kind="recipient",
        provider_code="sandbox.recipient",
        started_at=message.created_at,
        finished_at=message.created_at,
    )
    page = admin_client.get(reverse("admin:sms_services_smsmessage_change", args=[message.pk])).content.decode()
    assert "Failed tries" in page


def test_the_list_of_messages_takes_the_same_number_of_queries_however_long(
    admin_client, messages, django_assert_max_num_queries
):
    with django_assert_max_num_queries(7):
        admin_client.get(reverse("admin:sms_services_smsmessage_changelist"))
