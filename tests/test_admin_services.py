"""Services in admin: kinds, secrets, verification, test messages, deletion."""

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.contrib.contenttypes.models import ContentType
from django.db import connection, connections
from django.urls import reverse

from notifications.models import NotificationPreset
from sms_services.addresses import seal
from sms_services.models import (
    AlibabaCloudSms,
    AwsSnsSms,
    SandboxMessage,
    SandboxSms,
    SmsMessage,
    SmsService,
    SmsTemplate,
    TwilioSms,
)
from sms_services.providers.base import OutgoingMessage
from sms_services.signals import setup_changed
from tests.log_messages import a_message
from tests.replica import ReadsElsewhere
from tests.simulators import TwilioSimulator

pytestmark = pytest.mark.django_db

SID = "AC" + "0" * 32
FORMS = {
    AlibabaCloudSms: {"access_key": "LTAI5tExampleKey0", "access_secret": "first-secret", "verify_sign": "Example"},
    AwsSnsSms: {"access_key": "AKIAEXAMPLEKEY000", "secret_key": "first-secret", "region": "eu-west-1"},
    TwilioSms: {"account_sid": SID, "auth_token": "first-secret", "from_number": "+12065550100"},
}
OTHER_ACCOUNT = {AlibabaCloudSms: "LTAI5tOtherKey000", AwsSnsSms: "AKIAOTHERKEY00000", TwilioSms: "AC" + "1" * 32}
WRONG = [
    (AlibabaCloudSms, "access_key", "with spaces in it"),
    (AlibabaCloudSms, "verify_sign", "x"),
    (AlibabaCloudSms, "verify_sign", "longer than twelve"),
    (AlibabaCloudSms, "verify_sign", "a【b】c"),
    (AwsSnsSms, "region", "moon-base-1"),
    (TwilioSms, "account_sid", "AC123"),
    (TwilioSms, "from_number", "+1206555"),
    (TwilioSms, "from_number", "(206) 555-0100"),
    (TwilioSms, "from_number", "twelve chars"),
    (TwilioSms, "from_number", "MG" + "a" * 30),
]
kinds = pytest.mark.parametrize("kind", FORMS, ids=lambda kind: kind.__name__)


def posted(kind, **changes):
    return {"name": "Main", "key": "main", "is_active": "on", "max_per_second": "", **FORMS[kind], **changes}


def add_url(kind):
    content_type = ContentType.objects.get_for_model(kind, for_concrete_model=False)
    return f"{reverse('admin:sms_services_smsservice_add')}?ct_id={content_type.pk}"


def change_url(service):
    return reverse("admin:sms_services_smsservice_change", args=[service.pk])


@pytest.fixture
def service(request):
    kind = request.param if hasattr(request, "param") else TwilioSms
    return kind.objects.create(key="main", name="Main", **FORMS[kind])


def make_staff(client, *codenames):
    user = User.objects.create_user("clerk", password="clerk", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client.force_login(user)
    return user


def test_adding_asks_for_the_kind_first(admin_client):
    page = admin_client.get(reverse("admin:sms_services_smsservice_add")).content.decode()
    for name in ("Alibaba Cloud SMS", "AWS SNS SMS", "Twilio SMS", "Sandbox SMS"):
        assert name in page
    assert "access_secret" not in page


@kinds
def test_each_kind_asks_for_its_own_fields_and_says_where_to_find_them(admin_client, kind):
    page = admin_client.get(add_url(kind)).content.decode()
    for other, fields in FORMS.items():
        for name in fields:
            assert (f'name="{name}"' in page) == (name in FORMS[kind]), (other, name)
    assert "console" in page


@kinds
def test_each_kind_can_be_added(admin_client, kind):
    response = admin_client.post(add_url(kind), posted(kind))
    assert response.status_code == 302, response.context["adminform"].form.errors
    service = SmsService.objects.get(key="main")
    assert isinstance(service, kind)
    assert getattr(service, kind.secret_field).reveal() == "first-secret"


@kinds
def test_every_field_of_a_provider_is_required(admin_client, kind):
    for name in FORMS[kind]:
        response = admin_client.post(add_url(kind), posted(kind, **{name: ""}))
        assert name in response.context["adminform"].form.errors
    assert not SmsService.objects.exists()


@pytest.mark.parametrize(("kind", "field", "value"), WRONG, ids=lambda value: getattr(value, "__name__", str(value)))
def test_a_field_of_the_wrong_shape_is_refused(admin_client, kind, field, value):
    response = admin_client.post(add_url(kind), posted(kind, **{field: value}))
    assert field in response.context["adminform"].form.errors
    assert "first-secret" not in response.content.decode()


@pytest.mark.parametrize("sender", ["+12065550100", "ACME Shop", "MG" + "a" * 32])
def test_every_kind_of_twilio_sender_is_accepted(admin_client, sender):
    assert admin_client.post(add_url(TwilioSms), posted(TwilioSms, from_number=sender)).status_code == 302


@pytest.mark.parametrize(
    ("kind", "field", "typed", "stored"),
    [
        (AlibabaCloudSms, "verify_sign", "【测试签名】", "测试签名"),
        (AlibabaCloudSms, "verify_sign", "[Example]", "Example"),
        (TwilioSms, "from_number", "+1 206 555 0100", "+12065550100"),
        (TwilioSms, "from_number", "+86 (138) 0000-0000", "+8613800000000"),
        (SandboxSms, "currency", "cny", "CNY"),
    ],
    ids=str,
)
def test_what_can_be_read_is_stored_as_it_should_be(admin_client, kind, field, typed, stored):
    form = {"name": "Main", "key": "main", "is_active": "on", **FORMS.get(kind, {}), field: typed}
    assert admin_client.post(add_url(kind), form).status_code == 302
    assert getattr(kind.objects.get(), field) == stored


@kinds
def test_a_blank_secret_keeps_the_stored_one(admin_client, kind):
    service = kind.objects.create(key="main", name="Main", **FORMS[kind])
    form = posted(kind, name="Renamed", **{kind.secret_field: ""})
    assert admin_client.post(change_url(service), form).status_code == 302
    service = kind.objects.get(pk=service.pk)
    assert service.name == "Renamed"
    assert getattr(service, kind.secret_field).reveal() == "first-secret"


@kinds
def test_another_account_demands_its_own_secret(admin_client, kind):
    service = kind.objects.create(key="main", name="Main", **FORMS[kind])
    form = posted(kind, **{kind.account_field: OTHER_ACCOUNT[kind], kind.secret_field: ""})
    response = admin_client.post(change_url(service), form)
    assert kind.secret_field in response.context["adminform"].form.errors
    form[kind.secret_field] = "second-secret"
    assert admin_client.post(change_url(service), form).status_code == 302
    assert getattr(kind.objects.get(pk=service.pk), kind.secret_field).reveal() == "second-secret"


@kinds
def test_a_secret_never_comes_back(admin_client, kind):
    service = kind.objects.create(key="main", name="Main", **FORMS[kind])
    assert (
        admin_client.post(change_url(service), posted(kind, **{kind.secret_field: "second-secret"})).status_code == 302
    )
    pages = [
        admin_client.get(change_url(service)),
        admin_client.get(reverse("admin:sms_services_smsservice_changelist")),
        admin_client.get(reverse("admin:sms_services_smsservice_history", args=[service.pk])),
        admin_client.post(change_url(service), posted(kind, key="not a slug", **{kind.secret_field: "third-secret"})),
    ]
    token = getattr(kind.objects.get(pk=service.pk), kind.secret_field).token
    for page in pages:
        for secret in ("first-secret", "second-secret", "third-secret", token):
            assert secret not in page.content.decode()
    assert not LogEntry.objects.filter(change_message__contains="secret-").exists()


@kinds
@pytest.mark.parametrize(
    "wrong", [{"key": "not a slug"}, {"key": "taken"}, {"name": ""}], ids=["shape", "uniqueness", "blank"]
)
@pytest.mark.parametrize("adding", [True, False])
def test_a_secret_that_was_typed_beside_a_mistake_is_asked_for_again(admin_client, kind, wrong, adding):
    SandboxSms.objects.create(key="taken", name="Taken")
    form = posted(kind, **{kind.secret_field: "second-secret"}, **wrong)
    if adding:
        response = admin_client.post(add_url(kind), form)
    else:
        service = kind.objects.create(key="main", name="Main", **FORMS[kind])
        response = admin_client.post(change_url(service), form)
    errors = response.context["adminform"].form.errors
    assert len(errors) == 2
    assert "Enter it again" in str(errors[kind.secret_field])
    assert "second-secret" not in response.content.decode()
    if not adding:
        form = posted(kind, **{kind.secret_field: ""}, **wrong)
        assert kind.secret_field not in admin_client.post(change_url(service), form).context["adminform"].form.errors


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("Front Desk", ["front-desk", "front-desk-2", "front-desk-3"]),
        ("短信服务", ["twilio-1", "twilio-2"]),
        ("服务 3", ["twilio-1", "twilio-2"]),
        ("服务 VIP", ["twilio-1", "twilio-2"]),
        ("x" * 60, ["x" * 44, "x" * 44 + "-2"]),
    ],
)
def test_a_key_that_is_left_empty_is_made(admin_client, name, keys):
    page = admin_client.get(add_url(TwilioSms)).content.decode()
    assert "Left empty, it is made of the name, or of the kind and a number." in page
    for key in keys:
        response = admin_client.post(add_url(TwilioSms), posted(TwilioSms, name=name, key=""))
        assert response.status_code == 302, response.context["adminform"].form.errors
        assert SmsService.objects.latest("pk").key == key


@pytest.mark.databases
def test_a_made_key_is_none_that_exists_in_other_letters(admin_client, service):
    SmsService.objects.update(key="Front-Desk")
    admin_client.post(add_url(TwilioSms), posted(TwilioSms, name="front desk", key=""))
    assert SmsService.objects.latest("pk").key == "front-desk-2"


def test_a_key_that_exists_is_not_made_anew(admin_client, service):
    response = admin_client.post(change_url(service), posted(TwilioSms, key=""))
    assert "key" in response.context["adminform"].form.errors
    assert "Left empty" not in admin_client.get(change_url(service)).content.decode()


def test_verification_needs_its_own_permission_and_a_post(client, service):
    url = reverse("admin:sms_services_smsservice_verify", args=[service.pk])
    make_staff(client, "view_smsservice", "change_smsservice", "view_twiliosms", "change_twiliosms")
    assert client.post(url).status_code == 403
    assert "Verify credentials" not in client.get(change_url(service)).content.decode()
    client.logout()
    User.objects.all().delete()
    make_staff(client, "view_smsservice", "view_twiliosms", "verify_smsservice")
    assert client.get(url)["Location"] == change_url(service)
    assert "Verify credentials" in client.get(change_url(service)).content.decode()


def test_verification_shows_the_balance_or_what_is_wrong(admin_client, sms_settings):
    with TwilioSimulator() as simulator:
        sms_settings(ENDPOINT_URLS={"twilio": simulator.url})
        service = TwilioSms.objects.create(key="main", name="Main", **simulator.credentials)
        url = reverse("admin:sms_services_smsservice_verify", args=[service.pk])
        page = admin_client.post(url, follow=True).content.decode()
        assert "The credentials work." in page
        assert simulator.balance in page
        service.auth_token = "wrong"
        service.save()
        page = admin_client.post(url, follow=True).content.decode()
        assert "20003" in page
        assert "auth token" in page.lower()


def test_a_test_message_needs_its_own_permission(client, service):
    url = reverse("admin:sms_services_smsservice_test", args=[service.pk])
    make_staff(client, "view_smsservice", "change_smsservice", "verify_smsservice")
    assert client.get(url).status_code == 403
    assert client.post(url, {}).status_code == 403


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("atomic_requests", [False, True])
def test_a_test_message_is_sent_outside_any_transaction(admin_client, monkeypatch, atomic_requests):
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", atomic_requests)
    service = SandboxSms.objects.create(key="sandbox", name="Sandbox")
    template = SmsTemplate.objects.create(key="hello", name="Hello", text="Hello ${name}", purpose="notification")
    url = reverse("admin:sms_services_smsservice_test", args=[service.pk])
    shown = admin_client.post(url, {"template": template.pk, "phone_number": "555", "show_variables": "1"})
    assert 'name="variable_name"' in shown.content.decode()
    assert not SmsMessage.objects.exists()
    sent = admin_client.post(
        url, {"phone_number": "(206) 555-0100", "template": template.pk, "variable_name": "Alex"}, follow=True
    )
    assert "Outcome: Sent" in sent.content.decode()
    admin_client.get(sent.redirect_chain[-1][0])  # reloading the outcome
    assert SmsMessage.objects.get().phone_number == "+12065550100"


@pytest.mark.django_db(transaction=True)
def test_after_a_test_message_what_was_typed_is_still_there(client):
    service = SandboxSms.objects.create(key="sandbox", name="Sandbox")
    for key in ("first", "hello"):
        template = SmsTemplate.objects.create(key=key, name=key, text="Hello ${name}", purpose="notification")
    url = reverse("admin:sms_services_smsservice_test", args=[service.pk])
    make_staff(client, "view_smsservice", "view_sandboxsms", "send_test_smsservice")
    form = {"phone_number": "(206) 555-0142", "template": template.pk, "variable_name": "Alex"}
    address = client.post(url, form)["Location"]
    assert "2065550142" not in address
    assert "555-0142" not in address
    page = client.get(address).content.decode()
    assert 'value="+12065550142"' in page
    assert f'<option value="{template.pk}" selected>' in page
    assert 'value="Alex"' in page

    assert "Open the message" not in page
    record = LogEntry.objects.get()
    assert record.change_message == f"Test sent as message {SmsMessage.objects.get().pk}."

    # Nobody else sees the message or the number there, nor does anybody who takes a message's id.
    User.objects.create_superuser("other")
    client.force_login(User.objects.get(username="other"))
    pk = SmsMessage.objects.get().pk
    for other in (address, f"{url}?message={pk}", f"{url}?sent={pk}", address.replace("sent=", "sent=x")):
        page = client.get(other).content.decode()
        assert "Outcome" not in page
        assert "2065550142" not in page
        assert "Alex" not in page


@pytest.mark.parametrize(
    ("region", "words"),
    [
        ("US", "one without a country code is taken for US (+1)."),
        ("CN", "one without a country code is taken for CN (+86)."),
        ("", "Any notation of a number will do, with its country code: +1 206 555 0100."),
    ],
)
def test_fields_for_numbers_say_in_which_country_they_are_read(admin_client, sms_settings, region, words):
    sms_settings(DEFAULT_REGION=region)
    service = SandboxSms.objects.create(key="sandbox", name="Sandbox")
    SmsTemplate.objects.create(key="hello", name="Hello", text="Hello", purpose="notification")
    test = reverse("admin:sms_services_smsservice_test", args=[service.pk])
    for url in (test, reverse("admin:sms_services_smsmessage_changelist"), reverse("sms_services:sandbox_inbox")):
        assert words in admin_client.get(url).content.decode(), url


class TestKindOfANewOne:
    ADD = "/admin/sms_services/smsservice/add/"

    def test_kinds_stand_in_one_order(self, admin_client):
        ContentType.objects.clear_cache()
        for known in (SandboxSms, AlibabaCloudSms):  # first in the library's cache
            ContentType.objects.get_for_model(known, for_concrete_model=False)
            choices = admin_client.get(self.ADD).context["adminform"].form.fields["ct_id"].choices
            assert [str(label) for _, label in choices] == [
                "Alibaba Cloud SMS",
                "AWS SNS SMS",
                "Twilio SMS",
                "Sandbox SMS",
            ]

    @pytest.mark.parametrize(("query", "bare"), [("", False), ("?_popup=1", True)])
    def test_in_a_popup_nothing_leads_out_of_it(self, admin_client, query, bare):
        page = admin_client.get(self.ADD + query).content.decode()
        assert ("/admin/logout/" not in page) is bare
        assert ('id="nav-sidebar"' not in page) is bare


class TestWayToTheInbox:
    INBOX = "/sms/sandbox/"
    ENTRY = "/admin/sms_services/sandboxmessage/"

    def test_it_begins_in_the_index_and_every_sidebar(self, client):
        make_staff(client, "view_sandboxmessage")
        for url in ("/admin/", "/admin/sms_services/", self.INBOX):
            assert f'href="{self.ENTRY}"' in client.get(url).content.decode()
        assert client.get(self.ENTRY)["Location"] == self.INBOX

    def test_it_stands_above_the_services_where_one_is_a_sandbox(self, admin_client, service):
        url = reverse("admin:sms_services_smsservice_changelist")
        assert f'href="{self.INBOX}"' not in admin_client.get(url).content.decode()
        SandboxSms.objects.create(key="sandbox", name="Sandbox")
        assert f'href="{self.INBOX}"' in admin_client.get(url).content.decode()

    def test_there_is_none_without_the_inbox(self, admin_client, settings):
        SandboxSms.objects.create(key="sandbox", name="Sandbox")
        settings.ROOT_URLCONF = "tests.urls_without_inbox"
        for url in ("/admin/", "/admin/sms_services/smsservice/"):
            page = admin_client.get(url).content.decode()
            assert self.ENTRY not in page
            assert "Sandbox inbox" not in page
        assert admin_client.get(self.ENTRY).status_code == 404

    def test_the_entry_has_no_pages_that_would_show_a_text(self, admin_client):
        service = SandboxSms.objects.create(key="sandbox", name="Sandbox")
        service.build_provider().send([OutgoingMessage("+12065550100", "notification", text="Hello")], "reference")
        pk = SandboxMessage.objects.get().pk
        for page in ("add/", f"{pk}/", f"{pk}/change/", f"{pk}/history/", f"{pk}/delete/"):
            assert admin_client.get(f"{self.ENTRY}{page}").status_code == 404

    def test_it_needs_its_permission(self, client):
        make_staff(client, "view_smsservice")
        assert self.ENTRY not in client.get("/admin/").content.decode()


@pytest.mark.django_db(transaction=True)
def test_the_outcome_of_a_test_message_comes_with_advice(admin_client):
    service = SandboxSms.objects.create(key="sandbox", name="Sandbox")
    template = SmsTemplate.objects.create(key="hello", name="Hello", text="Hello", purpose="notification")
    url = reverse("admin:sms_services_smsservice_test", args=[service.pk])
    response = admin_client.post(url, {"phone_number": "+12065550151", "template": template.pk}, follow=True)
    page = response.content.decode()
    assert "Outcome: Failed" in page
    assert "This sandbox number refuses every text. Send to another number" in page


@pytest.mark.django_db(transaction=True)
def test_after_a_test_message_secrets_are_to_be_typed_again(admin_client):
    service = SandboxSms.objects.create(key="sandbox", name="Sandbox")
    text = "${name}, your password is ${password}"
    template = SmsTemplate.objects.create(key="hello", name="Hello", text=text, purpose="notification")
    url = reverse("admin:sms_services_smsservice_test", args=[service.pk])
    typed = {"variable_name": "Alex", "variable_password": "open sesame"}
    answer = admin_client.post(url, {"phone_number": "+12065550100", "template": template.pk, **typed}, follow=True)
    page = answer.content.decode()
    assert "open sesame" not in page
    assert page.count("Sensitive, so it was not kept. Enter it again.") == 1


def test_the_outcome_is_read_where_it_was_written(admin_client, admin_user, settings):
    sent = a_message()
    settings.DATABASE_ROUTERS = [ReadsElsewhere("smsmessage")]
    url = reverse("admin:sms_services_smsservice_test", args=[sent.service_id])
    address = seal(str(sent.pk), f"sent test of {admin_user.pk}")
    assert "Outcome: Failed" in admin_client.get(url, {"sent": address}).content.decode()


def test_a_wrong_test_message_keeps_what_was_typed_and_sends_nothing(admin_client):
    service = SandboxSms.objects.create(key="sandbox", name="Sandbox")
    template = SmsTemplate.objects.create(key="hello", name="Hello", text="Hello ${name}", purpose="notification")
    url = reverse("admin:sms_services_smsservice_test", args=[service.pk])
    page = admin_client.post(
        url, {"phone_number": "555", "template": template.pk, "variable_name": "Alex"}
    ).content.decode()
    assert "not a valid phone number" in page
    assert 'value="Alex"' in page
    assert not SmsMessage.objects.exists()


def test_a_service_in_use_cannot_be_deleted_and_the_page_says_by_what(admin_client, service):
    template = SmsTemplate.objects.create(key="hello", name="Hello", text="Hello", purpose="notification")
    SmsMessage.objects.bulk_create(
        SmsMessage(service=service, template=template, phone_number="+12065550100", purpose="notification")
        for _ in range(3)
    )
    url = reverse("admin:sms_services_smsservice_delete", args=[service.pk])
    page = admin_client.get(url).content.decode()
    assert "Main: 3 SMS messages" in page
    admin_client.post(url, {"post": "yes"})
    assert SmsService.objects.filter(pk=service.pk).exists()
    action = {"action": "delete_selected", "_selected_action": [service.pk], "post": "yes"}
    admin_client.post(reverse("admin:sms_services_smsservice_changelist"), action)
    assert SmsService.objects.filter(pk=service.pk).exists()


def test_what_names_a_service_without_a_way_back_keeps_it_too(admin_client, service):
    template = SmsTemplate.objects.create(key="hello", name="Hello", text="Hello", purpose="notification")
    NotificationPreset.objects.create(key="alarm", name="Alarm", service=service, template=template)
    url = reverse("admin:sms_services_smsservice_delete", args=[service.pk])
    assert "Main: 1 preset" in admin_client.get(url).content.decode()
    assert admin_client.post(url, {"post": "yes"}).status_code == 200
    assert SmsService.objects.filter(pk=service.pk).exists()


@kinds
def test_an_unused_service_can_be_deleted(admin_client, kind):
    service = kind.objects.create(key="main", name="Main", **FORMS[kind])
    admin_client.post(reverse("admin:sms_services_smsservice_delete", args=[service.pk]), {"post": "yes"})
    assert not SmsService.objects.exists()


def test_services_can_be_deactivated_from_the_list(admin_client, service):
    url = reverse("admin:sms_services_smsservice_changelist")
    admin_client.post(url, {"action": "deactivate", "_selected_action": [service.pk]})
    assert not SmsService.objects.get(pk=service.pk).is_active
    admin_client.post(url, {"action": "activate", "_selected_action": [service.pk]})
    assert SmsService.objects.get(pk=service.pk).is_active


def test_an_app_that_fails_to_say_what_uses_a_service_keeps_nobody_from_deactivating_it(admin_client, service):
    def fail(**_values):
        raise ValueError

    def say(services, **_values):
        return [f"{each} was in use." for each in services]

    setup_changed.connect(fail)
    setup_changed.connect(say)
    url = reverse("admin:sms_services_smsservice_changelist")
    page = admin_client.post(url, {"action": "deactivate", "_selected_action": [service.pk]}, follow=True)
    assert "Main was in use." in page.content.decode()
    assert not SmsService.objects.get(pk=service.pk).is_active


@pytest.mark.databases
@pytest.mark.django_db(transaction=True)
def test_a_statement_of_another_app_that_fails_undoes_nothing(admin_client, service):
    def fail(**_values):
        with connection.cursor() as cursor:
            cursor.execute("SELECT nothing FROM nowhere")

    setup_changed.connect(fail)
    posted_form = posted(TwilioSms, name="Renamed")
    assert admin_client.post(change_url(service), posted_form).status_code == 302
    assert SmsService.objects.get(pk=service.pk).name == "Renamed"


def test_the_list_of_services_takes_the_same_number_of_queries_however_long(
    admin_client, django_assert_max_num_queries
):
    url = reverse("admin:sms_services_smsservice_changelist")
    admin_client.get(url)
    for number in range(20):
        TwilioSms.objects.create(key=f"main-{number}", name="Main", **FORMS[TwilioSms])
    with django_assert_max_num_queries(8):
        admin_client.get(url)
