"""Composing a notification in admin: what is shown before, what is asked, and what is sent once."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from login_mobile.models import MobileNumber
from notifications.models import Notification, NotificationPreset, SuppressedNumber
from sms_services.choices import SkipReason
from sms_services.encryption import MASK
from sms_services.models import AlibabaCloudSms, SandboxSms, SmsMessage, TemplateCode
from sms_services.providers.base import Verification
from tests.log_messages import log_in
from tests.people import a_department, a_person, a_role, people
from tests.services_under_test import create_template

pytest_plugins = ["tests.services_under_test"]
pytestmark = pytest.mark.django_db

COMPOSE = "/admin/notifications/notification/compose/"
LIST = "/admin/notifications/notification/"


@pytest.fixture
def alarm(sandbox):
    return create_template(key="alarm", text="${name}: ${device} fails")


@pytest.fixture
def two_halls(sandbox):
    """Five people in two departments that share one; one has no number, one is suppressed, one shares a number."""
    ada, ben = a_person("ada", "+12065550101"), a_person("ben", "+12065550102")
    cleo, dan = a_person("cleo"), a_person("dan", "+12065550104")
    eve = a_person("eve", "+12065550105", is_active=False)
    SuppressedNumber.objects.create(phone_number="+12065550104")
    return a_department("A", [ada, ben, cleo]), a_department("B", [ben, dan, eve])


def form(service, template, /, **changes):
    fields = {
        "key": str(uuid.uuid4()),
        "include_subdepartments": "on",
        "service": service.pk,
        "template": template.pk,
        "variables-name-source": "field:first_name",
        "variables-device-source": "text",
        "variables-device-text": "Pump 7",
    }
    return {name: value for name, value in {**fields, **changes}.items() if value is not None}


def carried(response):
    """The form of the page that asks once more, as a browser would send it."""
    page = response.content.decode()
    pairs = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', page)
    sent: dict[str, list[str]] = {}
    for name, value in pairs:
        sent.setdefault(name, []).append(value)
    assert "confirmed" in sent
    return sent


def words_of(response):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


class TestBeforeSending:
    def test_the_people_are_counted_each_once(self, admin_client, sandbox, alarm, two_halls):
        a, b = two_halls
        fields = form(sandbox, alarm, departments=[a.pk, b.pk], _refresh="all")
        response = admin_client.post(COMPOSE, fields)
        words = words_of(response)
        for count in (
            "2 people get a text",
            "People, each once 5",
            "No phone number 1",
            "Inactive user 1",
            "Wants no notifications 1",
        ):
            assert count in words, count
        assert not Notification.objects.exists()

    def test_numbers_that_may_turn_out_unreadable_are_counted_apart(self, admin_client, sandbox, alarm, two_halls):
        MobileNumber.objects.filter(number="+12065550101").update(number="206 555 0101")
        fields = form(sandbox, alarm, departments=[each.pk for each in two_halls], _refresh="all")
        words = words_of(admin_client.post(COMPOSE, fields))
        assert "1 number is not in international form; whether it can be read is decided when it is sent." in words

    def test_gaps_in_texts_are_counted(self, admin_client, sandbox, alarm, two_halls):
        fields = form(sandbox, alarm, departments=[each.pk for each in two_halls], _refresh="all")
        User.objects.update(first_name="Ada")
        assert "will have a gap" not in words_of(admin_client.post(COMPOSE, fields))
        User.objects.update(first_name="")
        gaps = "2 people have nothing where a variable is looked up: their texts will have a gap."
        assert gaps in words_of(admin_client.post(COMPOSE, fields))
        del fields["_refresh"]
        assert gaps in words_of(admin_client.post(COMPOSE, fields))  # and asked once more

    def test_people_are_counted_though_a_field_is_not_offered_any_more(self, admin_client, sandbox, alarm, two_halls):
        chosen = {"departments": [each.pk for each in two_halls], "variables-name-source": "field:email"}
        fields = form(sandbox, alarm, _refresh="all", **chosen)
        assert "2 people get a text" in words_of(admin_client.post(COMPOSE, fields))
        del fields["_refresh"]
        words = words_of(admin_client.post(COMPOSE, fields))
        assert "2 people get a text" in words
        assert "name: choose where it comes from." in words
        assert not Notification.objects.exists()

    @pytest.mark.parametrize("path", ["mobile_number", "nothing"])
    def test_what_leads_to_no_field_is_shown_by_its_path(self, admin_client, sandbox, alarm, path):
        fields = form(sandbox, alarm, _refresh="all", **{"variables-name-source": f"field:{path}"})
        assert f"[{path}]: Pump 7 fails" in words_of(admin_client.post(COMPOSE, fields))

    def test_the_text_its_segments_and_its_costs_are_shown(self, admin_client, sandbox, alarm, two_halls):
        SandboxSms.objects.filter(pk=sandbox.pk).update(price_per_segment=Decimal("0.0500"), currency="EUR")
        fields = form(sandbox, alarm, departments=[each.pk for each in two_halls], _refresh="all")
        words = words_of(admin_client.post(COMPOSE, fields))
        assert "[First name]: Pump 7 fails" in words
        assert "About 0.10 EUR = 2 texts × 1 segment × 0.05 EUR" in words

    def test_the_language_of_the_admin_changes_no_costs(self, admin_client, sandbox, alarm, two_halls):
        SandboxSms.objects.filter(pk=sandbox.pk).update(price_per_segment=Decimal("0.0500"), currency="EUR")
        alarm.text = f"{alarm.text} {'x' * 100}"  # two segments if a character were not in GSM-7
        alarm.save()
        fields = form(sandbox, alarm, departments=[each.pk for each in two_halls], _refresh="all")
        answer = admin_client.post(COMPOSE, fields, headers={"accept-language": "zh-hans"})
        assert "[名字]" in words_of(answer)
        assert answer.context["overview"].estimate.segments == 1

    def test_without_a_price_there_is_no_estimate(self, admin_client, sandbox, alarm, two_halls):
        fields = form(sandbox, alarm, departments=two_halls[0].pk, _refresh="all")
        assert "About" not in words_of(admin_client.post(COMPOSE, fields))

    def test_following_the_text_does_not_count_the_people_again(self, admin_client, sandbox, alarm, two_halls):
        SandboxSms.objects.filter(pk=sandbox.pk).update(price_per_segment=1, currency="EUR")
        fields = form(sandbox, alarm, departments=two_halls[0].pk, _refresh="text", counted="7")
        with CaptureQueriesContext(connection) as captured:
            words = words_of(admin_client.post(COMPOSE, fields))
        assert "About 7.00 EUR" in words
        assert not any("n_people" in query["sql"] for query in captured)

    def test_the_number_of_queries_does_not_grow_with_the_people(self, admin_client, sandbox, alarm):
        def queries():
            fields = form(sandbox, alarm, departments=works.pk, _refresh="all")
            with CaptureQueriesContext(connection) as captured:
                assert admin_client.post(COMPOSE, fields).status_code == 200
            return len(captured)

        works = a_department("Works", people(3))
        queries()
        few = queries()
        works.members.add(*people(500, 10))
        assert queries() == few

    def test_templates_that_the_service_cannot_send_say_so(self, admin_client, sandbox, alarm):
        create_template(key="bare", text="")
        create_template(key="login", text="Code ${code}", purpose="otp")
        page = admin_client.post(COMPOSE, form(sandbox, alarm, _refresh="text")).content.decode()
        assert "Bare (no text)" in page
        assert ">Login<" not in page

    def test_without_scripts_recipients_are_searched_first(self, admin_client, sandbox, alarm, two_halls):
        fields = form(sandbox, alarm, find_users="ad", find_departments="b", find_roles="x", _refresh="users")
        page = admin_client.post(COMPOSE, fields).content.decode()
        assert "Ada (ada)</option>" in page
        assert f'<option value="{two_halls[1].pk}">B</option>' in page
        assert "Nothing was found." in page
        assert ">\nPump 7</textarea>" in page

    def test_strange_ids_are_no_error(self, admin_client, sandbox, alarm):
        fields = form(
            sandbox,
            alarm,
            users=["x", "99999999999999999999999", "-1"],
            service="x",
            template="9" * 30,
            _refresh="all",
            counted="x",
        )
        assert admin_client.post(COMPOSE, fields).status_code == 200


class TestRefusals:
    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"departments": None}, "Choose at least one recipient"),
            ({"service": ""}, "This field is required"),
            ({"variables-device-text": " "}, "device: enter what the text says"),
            ({"variables-name-source": "caller"}, "name: choose where it comes from"),
            ({"expires_at": "2020-01-01T10:00"}, "Choose a time that lies ahead"),
            ({"send_at": "2020-01-01T10:00"}, "This time has passed. Leave it empty to send at once"),
            ({"send_at": "2090-01-02T10:00", "expires_at": "2090-01-01T10:00"}, "Choose a time that lies ahead"),
            ({"key": "x"}, "valid UUID"),
        ],
    )
    def test_what_is_wrong_is_said_and_nothing_is_asked(self, admin_client, sandbox, alarm, two_halls, changes, words):
        fields = form(sandbox, alarm, **{"departments": two_halls[0].pk, "_review": "1", **changes})
        response = admin_client.post(COMPOSE, fields)
        assert words in response.content.decode()
        assert "Nothing was sent" in response.content.decode()
        assert not Notification.objects.exists()

    def test_one_time_codes_are_refused(self, admin_client, sandbox, two_halls):
        otp = create_template(key="login", text="Code ${code}", purpose="otp")
        fields = form(sandbox, otp, departments=two_halls[0].pk, **{"variables-code-text": "1"})
        assert "One-time codes cannot be sent" in admin_client.post(COMPOSE, fields).content.decode()

    def test_a_deactivated_service_is_refused(self, admin_client, sandbox, alarm, two_halls):
        SandboxSms.objects.update(is_active=False)
        response = admin_client.post(COMPOSE, form(sandbox, alarm, departments=two_halls[0].pk))
        assert "is deactivated. Activate it first" in response.content.decode()

    @pytest.mark.parametrize(
        ("status", "words"), [(None, "has no template code"), ("pending", "still reviewing SMS_1")]
    )
    def test_a_template_that_the_platform_would_refuse_is_refused(self, admin_client, two_halls, status, words):
        service = AlibabaCloudSms.objects.create(
            key="cn", name="China", access_key="LTAI5tExampleKey0", access_secret="secret", verify_sign="Example"
        )
        template = create_template(key="news", text="News")
        if status:
            TemplateCode.objects.create(template=template, service=service, code="SMS_1", platform_status=status)
        response = admin_client.post(COMPOSE, form(service, template, departments=two_halls[0].pk))
        assert words in response.content.decode()

    def test_a_service_whose_signature_is_not_approved_is_refused(self, admin_client, two_halls):
        service = AlibabaCloudSms.objects.create(
            key="cn", name="China", access_key="LTAI5tExampleKey0", access_secret="secret", verify_sign="Example"
        )
        service.keep_verification(Verification(ok=True, signature_status="rejected"))
        template = create_template(key="news", text="News")
        TemplateCode.objects.create(template=template, service=service, code="SMS_1", platform_status="approved")
        fields = form(service, template, departments=two_halls[0].pk, _review="1")
        page = admin_client.post(COMPOSE, fields)
        assert "has rejected the signature" in page.context["form"].errors["service"][0]
        assert "template" not in page.context["form"].errors

    def test_nobody_who_can_get_a_text_is_refused(self, admin_client, sandbox, alarm):
        response = admin_client.post(COMPOSE, form(sandbox, alarm, users=a_person("zoe").pk))
        assert "None of these people can get a text" in response.content.decode()


@pytest.mark.usefixtures("eager")
@pytest.mark.django_db(transaction=True)
class TestSending:
    def test_it_asks_with_the_count_and_sends_once(self, admin_client, sandbox, alarm, two_halls):
        fields = form(
            sandbox,
            alarm,
            departments=[each.pk for each in two_halls],
            users=a_person("fay", "+12065550106").pk,
            roles=a_role("Guards", []).pk,
            _review="1",
        )
        question = admin_client.post(COMPOSE, fields)
        assert "Send to 3 people" in words_of(question)
        assert not Notification.objects.exists()
        answer = {**carried(question), "_send": "1"}
        first, second = (admin_client.post(COMPOSE, answer) for _ in range(2))
        notification = Notification.objects.get()
        assert first["Location"] == second["Location"] == f"{LIST}{notification.pk}/change/"
        assert notification.created_by.username == "admin"
        texts = {message.phone_number: message.readable_text() for message in SmsMessage.objects.all()}
        assert texts == {
            "+12065550101": "Ada: Pump 7 fails",
            "+12065550102": "Ben: Pump 7 fails",
            "+12065550106": "Fay: Pump 7 fails",
        }
        reasons = sorted(notification.recipients.exclude(skip_reason="").values_list("skip_reason", flat=True))
        assert reasons == [SkipReason.INACTIVE, SkipReason.NO_NUMBER, SkipReason.SUPPRESSED]
        assert "was sent before" in words_of(admin_client.post(COMPOSE, answer, follow=True))

    def test_when_the_people_change_it_asks_again(self, admin_client, sandbox, alarm, two_halls):
        question = admin_client.post(COMPOSE, form(sandbox, alarm, departments=two_halls[0].pk))
        two_halls[0].members.add(a_person("fay", "+12065550106"))
        again = admin_client.post(COMPOSE, {**carried(question), "_send": "1"})
        assert "It was 2; now it is 3 people." in words_of(again)
        assert not Notification.objects.exists()
        admin_client.post(COMPOSE, {**carried(again), "_send": "1"})
        assert SmsMessage.objects.count() == 3

    def test_it_says_who_is_asked_for(self, admin_client, sandbox, alarm, two_halls):
        hall = a_department("Hall", people(25), below=two_halls[0])
        fields = form(sandbox, alarm, departments=[two_halls[1].pk, hall.pk], roles=a_role("Guards").pk)
        words = words_of(admin_client.post(COMPOSE, fields))
        for expected in ("A › Hall", "Sub-departments included", "Roles Guards"):
            assert expected in words, expected
        fields = form(sandbox, alarm, departments=hall.pk, include_subdepartments=None)
        assert "Sub-departments not included" in words_of(admin_client.post(COMPOSE, fields))
        words = words_of(
            admin_client.post(COMPOSE, form(sandbox, alarm, users=[user.pk for user in hall.members.all()]))
        )
        assert "and 5 others" in words
        assert "Sub-departments" not in words

    def test_a_count_that_was_made_up_sends_nothing(self, admin_client, sandbox, alarm, two_halls):
        fields = form(sandbox, alarm, departments=two_halls[0].pk, _send="1", confirmed="99")
        admin_client.post(COMPOSE, fields)
        admin_client.post(COMPOSE, {**fields, "confirmed": "x"})
        assert not Notification.objects.exists()

    def test_what_is_said_beside_a_field_is_not_said_again_below(self, admin_client, sandbox, two_halls):
        fields = form(sandbox, create_template(key="coded", text=""), departments=two_halls[0].pk)
        assert words_of(admin_client.post(COMPOSE, fields)).count("has no text") == 1
        assert words_of(admin_client.post(COMPOSE, {**fields, "_refresh": "all"})).count("has no text") == 1

    def test_one_can_go_back_to_the_form(self, admin_client, sandbox, alarm, two_halls):
        question = admin_client.post(COMPOSE, form(sandbox, alarm, departments=two_halls[0].pk))
        page = admin_client.post(COMPOSE, {**carried(question), "_edit": "1"}).content.decode()
        assert ">\nPump 7</textarea>" in page
        assert "errornote" not in page
        assert f'<option value="{two_halls[0].pk}" selected>A</option>' in page

    def test_a_text_may_have_several_lines(self, admin_client, sandbox, alarm, two_halls):
        lines = {"variables-device-text": "\r\nPump 7\r\nPump 8"}
        fields = form(sandbox, alarm, departments=two_halls[0].pk, **lines)
        page = admin_client.post(COMPOSE, {**fields, "_refresh": "all"}).content.decode()
        box = re.search(r"<textarea[^>]*variables-device-text[^>]*>\n(.*?)</textarea>", page, re.DOTALL)
        assert box[1].replace("\r\n", "\n") == "\nPump 7\nPump 8"
        admin_client.post(COMPOSE, {**carried(admin_client.post(COMPOSE, fields)), "_send": "1"})
        assert Notification.objects.get().variables == {"device": "\nPump 7\nPump 8"}

    def test_it_can_be_sent_later_and_expire(self, admin_client, sandbox, alarm, two_halls, settings):
        settings.TIME_ZONE = "Asia/Shanghai"
        begin = timezone.localtime() + timedelta(days=1)
        fields = form(
            sandbox,
            alarm,
            departments=two_halls[0].pk,
            send_at=f"{begin:%Y-%m-%dT%H:%M}",
            expires_at=f"{begin + timedelta(hours=2):%Y-%m-%dT%H:%M}",
        )
        question = admin_client.post(COMPOSE, fields)
        assert "Schedule for 2 people" in words_of(question)
        assert words_of(question).count("(Asia/Shanghai)") == 2
        admin_client.post(COMPOSE, {**carried(question), "_send": "1"})
        notification = Notification.objects.get()
        assert notification.status == "scheduled"
        assert abs(notification.send_at - begin) < timedelta(minutes=1)
        assert notification.expires_at - notification.send_at == timedelta(hours=2)

    def test_a_time_that_has_just_passed_is_now_and_the_words_say_so(self, admin_client, sandbox, alarm, two_halls):
        just_now = timezone.localtime() - timedelta(minutes=1)
        fields = form(sandbox, alarm, departments=two_halls[0].pk, send_at=f"{just_now:%Y-%m-%dT%H:%M}")
        question = admin_client.post(COMPOSE, fields)
        assert "Send to 2 people" in words_of(question)
        assert "When at once" in words_of(question)
        sent = admin_client.post(COMPOSE, {**carried(question), "_send": "1"}, follow=True)
        assert "It is on its way." in words_of(sent)

    def test_a_form_that_was_sent_says_so_when_its_time_has_passed(self, admin_client, sandbox, alarm, two_halls):
        begin = timezone.localtime() + timedelta(days=1)
        fields = form(sandbox, alarm, departments=two_halls[0].pk, send_at=f"{begin:%Y-%m-%dT%H:%M}")
        answer = {**carried(admin_client.post(COMPOSE, fields)), "_send": "1"}
        admin_client.post(COMPOSE, answer)
        again = admin_client.post(COMPOSE, {**answer, "send_at": "2020-01-01T10:00"}, follow=True)
        assert "was sent before" in words_of(again)

    def test_the_people_are_counted_once_per_answer(self, admin_client, sandbox, alarm, two_halls):
        fields = form(sandbox, alarm, departments=two_halls[0].pk)
        with CaptureQueriesContext(connection) as captured:
            question = admin_client.post(COMPOSE, fields)
        assert sum("n_people" in query["sql"] for query in captured) == 1
        with CaptureQueriesContext(connection) as captured:
            admin_client.post(COMPOSE, {**carried(question), "_send": "1", "confirmed": "9"})
        assert sum("n_people" in query["sql"] for query in captured) == 1

    def test_it_can_begin_with_a_preset(self, admin_client, sandbox, alarm, two_halls):
        preset = NotificationPreset.objects.create(
            key="device-alarm",
            name="Device alarm",
            service=sandbox,
            template=alarm,
            variables={"device": "Pump 7"},
            recipient_fields={"name": "first_name"},
        )
        preset.departments.add(two_halls[0])
        page = admin_client.get(COMPOSE, {"preset": "device-alarm"}).content.decode()
        assert ">\nPump 7</textarea>" in page
        assert '<option value="field:first_name" selected>' in page
        assert f'<option value="{two_halls[0].pk}" selected>A</option>' in page
        assert "<strong>2</strong> people get a text" in page
        fields = form(sandbox, alarm, departments=two_halls[0].pk, preset="device-alarm")
        admin_client.post(COMPOSE, {**carried(admin_client.post(COMPOSE, fields)), "_send": "1"})
        assert Notification.objects.get().key == "device-alarm"
        assert admin_client.get(COMPOSE, {"preset": "none"}).status_code == 404

    def test_another_template_is_not_the_presets_any_more(self, admin_client, sandbox, alarm, two_halls):
        NotificationPreset.objects.create(
            key="device-alarm", name="Alarm", service=sandbox, template=alarm, variables={"device": "x"}
        )
        news = create_template(key="news", text="News")
        fields = form(sandbox, news, departments=two_halls[0].pk, preset="device-alarm")
        admin_client.post(COMPOSE, {**carried(admin_client.post(COMPOSE, fields)), "_send": "1"})
        assert Notification.objects.get().key == ""

    def test_sensitive_variables_are_not_kept_readable(self, admin_client, sandbox, two_halls):
        door = create_template(key="door", text="Door ${pin}")
        fields = form(
            sandbox,
            door,
            departments=two_halls[0].pk,
            **{"variables-pin-source": "text", "variables-pin-text": "Zq7Kx9"},
        )
        response = admin_client.post(
            COMPOSE, {**carried(admin_client.post(COMPOSE, fields)), "_send": "1"}, follow=True
        )
        assert "Zq7Kx9" not in response.content.decode()
        assert f"Door {MASK}" in response.content.decode()
        assert not LogEntry.objects.filter(change_message__contains="Zq7Kx9").exists()


class TestPermissions:
    def test_to_view_is_not_to_compose(self, client):
        log_in(client, "view_notification")
        assert client.get(COMPOSE).status_code == 403
        assert client.post(COMPOSE, {"_send": "1"}).status_code == 403
        assert "compose" not in client.get(LIST).content.decode()

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.usefixtures("eager")
    def test_to_compose_is_not_to_view(self, client, sandbox, alarm, two_halls):
        log_in(client, "compose_notification")
        assert COMPOSE.replace("compose", "add") in client.get("/admin/").content.decode()
        assert client.get(f"{LIST}add/")["Location"] == COMPOSE
        question = client.post(COMPOSE, form(sandbox, alarm, departments=two_halls[0].pk))
        sent = client.post(COMPOSE, {**carried(question), "_send": "1"})
        assert sent["Location"] == COMPOSE
        notification = Notification.objects.get()
        assert client.get(f"{LIST}{notification.pk}/change/").status_code == 403

    def test_only_who_may_see_presets_begins_with_one(self, client, sandbox, alarm, two_halls):
        NotificationPreset.objects.create(
            key="alarm", name="Night alarm", service=sandbox, template=alarm, variables={"device": "Pump 7"}
        )
        log_in(client, "compose_notification")
        assert client.get(COMPOSE, {"preset": "alarm"}).status_code == 403
        assert client.get(COMPOSE, {"preset": "none"}).status_code == 403
        fields = form(sandbox, alarm, departments=two_halls[0].pk, preset="alarm")
        assert "Night alarm" not in client.post(COMPOSE, fields).content.decode()
        log_in(client, "compose_notification", "view_notificationpreset", name="boss")
        assert "Pump 7" in client.get(COMPOSE, {"preset": "alarm"}).content.decode()

    def test_what_is_missing_can_only_be_added_by_who_may(self, client, sandbox):
        log_in(client, "compose_notification", "add_smstemplate")
        page = client.get(COMPOSE).content.decode()
        assert "smstemplate/add/" in page
        assert "smsservice/add/" not in page

    def test_strangers_are_sent_to_the_login(self, client):
        assert client.get(COMPOSE).status_code == 302
