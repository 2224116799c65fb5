"""Mobile login in admin: what cannot work is refused, numbers are masked, and each power has a permission."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape

import pytest
import time_machine
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import ResolverMatch, reverse
from django.utils import timezone

from login_mobile.choices import ChallengeState, Outcome, PauseReason, PauseScope, Sending
from login_mobile.models import Challenge, MobileLogin, MobileNumber, Pause, ReviewNumber
from login_mobile.signals import number_removed
from login_mobile.warning import warn_of_logins
from sms_services.choices import Purpose, TemplateStatus
from sms_services.models import AlibabaCloudSms, SandboxSms, SmsMessage, SmsTemplate, TemplateCode, TwilioSms
from tests.login_under_test import NUMBER, OTHER, TEXT, a_login, a_user, codes_sent, just_before, number
from tests.services_under_test import create_service
from tests.simulators import Sign
from tests.test_template_import import import_url, press

pytest_plugins = ["tests.login_under_test"]
pytestmark = pytest.mark.django_db

FIGURES = "admin:login_mobile_mobilelogin_figures"
TEST = "admin:login_mobile_mobilelogin_test"
SWITCH = "admin:login_mobile_mobilelogin_switch"
UNBLOCK = "admin:login_mobile_mobilelogin_unblock"
CHANGE = "admin:login_mobile_mobilelogin_change"


@pytest.fixture
def login(db) -> MobileLogin:
    return a_login()


@pytest.fixture
def staff_client(client):
    """`staff_client("view_challenge", …)`: a member of staff with these permissions, and no others."""

    def make(*codenames):
        user = User.objects.create_user(f"staff{User.objects.count()}", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        assert user.user_permissions.count() == len(codenames)
        client.force_login(user)
        return client

    return make


def alibaba_cloud() -> AlibabaCloudSms:
    return AlibabaCloudSms.objects.create(
        key="ali", name="Ali", access_key="LTAI0123456789", access_secret="secret-0123456789", verify_sign="Sign"
    )


def otp(key: str, text: str = "", variables: str = "") -> SmsTemplate:
    return SmsTemplate.objects.create(key=key, name=key, text=text, variables=variables, purpose=Purpose.OTP)


def form_of(login: MobileLogin | None = None, **changes):
    """What the browser posts when nothing but `changes` was changed."""
    login = login or MobileLogin()
    values = {
        field.name: getattr(login, field.attname)
        for field in MobileLogin._meta.fields
        if not field.generated
        and field.name not in ("id", "is_active")
        and getattr(login, field.attname) not in (None, False)
    }
    values |= {"first_region": login.regions[0]}
    return {name: value for name, value in {**values, **changes}.items() if value is not None}


def test_a_login_says_so_where_no_notice_can_be_sent(admin_client):
    login = a_login(alibaba_cloud(), template=otp("by-code", variables="code"))
    TemplateCode.objects.create(template=login.template, service=login.sms_service, code="SMS_1")
    url = reverse(CHANGE, args=[login.pk])
    assert "nobody hears of an account taken over" in admin_client.get(url).content.decode()
    a_login(key="other", is_default=False)
    assert "nobody hears of an account taken over" not in admin_client.get(url).content.decode()


def errors_of(client, url, data):
    response = client.post(url, data)
    assert response.status_code == 200, "It was saved."
    return response.context["adminform"].form.errors


def warnings_of(response):
    return [str(message) for message in response.context["messages"] if message.level_tag == "warning"]


def challenge(login: MobileLogin, phone: str = NUMBER, **fields) -> Challenge:
    defaults = {
        "purpose": "login",
        "country": "US",
        "prefix": phone[:-4],
        "expires_at": timezone.now() + timedelta(minutes=5),
        "sending": Sending.HANDED_OVER,
        "token_hash": f"{Challenge.objects.count():064}",
    }
    return Challenge.objects.create(login=login, phone_number=phone, **{**defaults, **fields})


def test_a_login_is_made_and_the_first_one_is_the_default(admin_client):
    service = SandboxSms.objects.create(key="sandbox", name="Sandbox")
    data = form_of(key="shop", name="Shop", sms_service=service.pk, template=otp("code", TEXT).pk)
    data |= {"regions": ["US", "CN", "DE"], "first_region": "CN"}
    assert admin_client.post(reverse("admin:login_mobile_mobilelogin_add"), data).status_code == 302
    login = MobileLogin.objects.get()
    assert login.regions == ["CN", "DE", "US"] or login.regions == ["CN", "US", "DE"]
    assert login.is_default
    assert login.is_active


@pytest.mark.parametrize(
    ("text", "variables", "purpose", "words"),
    [
        ("", "code", Purpose.OTP, "has no text"),
        ("Hello", "", Purpose.NOTIFICATION, "is not for one-time codes"),
        ("Hello", "", Purpose.OTP, "no place for the code"),
        ("", "code,minutes", Purpose.OTP, "where the text has it"),
        ("${code} for ${who}", "", Purpose.OTP, "Only ${code} and ${minutes} can be filled in"),
    ],
)
def test_a_template_that_cannot_work_is_refused_with_what_to_do(admin_client, login, text, variables, purpose, words):
    template = SmsTemplate.objects.create(key="bad", name="Bad", text=text, variables=variables, purpose=purpose)
    errors = errors_of(admin_client, reverse(CHANGE, args=[login.pk]), form_of(login, template=template.pk))
    assert words in " ".join(errors["template"])


def test_a_service_that_sends_by_code_needs_the_templates_code_for_it(admin_client, login):
    service, url = alibaba_cloud(), reverse(CHANGE, args=[login.pk])
    errors = errors_of(admin_client, url, form_of(login, sms_service=service.pk))
    assert "has no template code for “Ali”" in " ".join(errors["template"])
    TemplateCode.objects.create(template=login.template, service=service, code="SMS_1")
    assert admin_client.post(url, form_of(login, sms_service=service.pk)).status_code == 302


@pytest.mark.parametrize("status", [TemplateStatus.PENDING, TemplateStatus.REJECTED])
def test_a_code_that_is_not_approved_yet_is_taken_with_a_warning(admin_client, login, status):
    service, url = alibaba_cloud(), reverse(CHANGE, args=[login.pk])
    TemplateCode.objects.create(template=login.template, service=service, code="SMS_1", platform_status=status)
    response = admin_client.post(url, form_of(login, sms_service=service.pk), follow=True)
    assert response.redirect_chain
    levels = {message.level_tag: message.message for message in response.context["messages"]}
    assert "SMS_1" in levels["warning"]
    assert b"SMS_1" in admin_client.get(url).content


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("code_length", 5, "6"),
        ("code_minutes", 11, "10"),
        ("regions", [], "at least one country"),
        ("first_region", "FR", "not among those above"),
        ("sends_per_day", 4, "cannot be lower than an hour"),
        ("key", "no key", "valid"),
    ],
)
def test_bounds_are_kept(admin_client, login, field, value, words):
    errors = errors_of(admin_client, reverse(CHANGE, args=[login.pk]), form_of(login, **{field: value}))
    assert words in " ".join(errors[field])


@pytest.mark.parametrize(
    ("changes", "closed"),
    [
        ({}, ["Limits", "Safety"]),
        ({"sends_per_hour": 20, "sends_per_day": 10}, ["Safety"]),
        ({"cap_per_day": 0}, ["Limits"]),
        ({"name": ""}, ["Limits", "Safety"]),
    ],
)
def test_fields_with_errors_are_in_sight(admin_client, login, changes, closed):
    page = admin_client.post(reverse(CHANGE, args=[login.pk]), form_of(login, **{"key": "no key", **changes}))
    content = page.content.decode()
    assert re.findall(r"<details><summary>\s*<h2[^>]*>([^<]+)", content) == closed
    assert content.count('<ul class="errorlist"') == 1 + len(set(changes) & {"sends_per_day", "cap_per_day", "name"})


def test_there_is_one_default(admin_client, login):
    other = a_login(key="other", name="Other", is_default=False)
    admin_client.post(reverse(CHANGE, args=[other.pk]), form_of(other, is_default="on"))
    assert MobileLogin.objects.get(is_default=True) == other


@pytest.mark.parametrize("by", ["unticking", "deleting", "deleting from the list", "switching off"])
def test_whoever_takes_the_default_away_hears_of_it(admin_client, login, by):
    other = a_login(key="other", name="Other", is_default=False)
    url = reverse(CHANGE, args=[login.pk])
    assert warnings_of(admin_client.post(url, form_of(login), follow=True)) == []
    if by == "unticking":
        response = admin_client.post(url, form_of(login, is_default=None), follow=True)
    elif by == "switching off":
        question = admin_client.get(reverse(SWITCH, args=[login.pk])).content.decode()
        assert "nobody can log in until it is on again" in question
        response = admin_client.post(reverse(SWITCH, args=[login.pk]), {"active": "0"}, follow=True)
    elif by == "deleting":
        url = reverse("admin:login_mobile_mobilelogin_delete", args=[login.pk])
        response = admin_client.post(url, {"post": "yes"}, follow=True)
    else:
        url = reverse("admin:login_mobile_mobilelogin_changelist")
        data = {"action": "delete_selected", "_selected_action": [login.pk], "post": "yes"}
        response = admin_client.post(url, data, follow=True)
    [said] = warnings_of(response)
    assert said.startswith("The default login “Main” is switched off" if by == "switching off" else "No login is the")
    response = admin_client.post(reverse(CHANGE, args=[other.pk]), form_of(other, is_default="on"), follow=True)
    assert warnings_of(response) == []


def test_whoever_deletes_the_last_login_expects_nobody_to_log_in(admin_client, login):
    url = reverse("admin:login_mobile_mobilelogin_delete", args=[login.pk])
    assert warnings_of(admin_client.post(url, {"post": "yes"}, follow=True)) == []


def test_whoever_makes_another_login_the_default_hears_which_one_was(admin_client, login):
    other = a_login(key="other", name="Other", is_default=False)
    url = reverse(CHANGE, args=[other.pk])
    for said in (["“Other” is the default now, and “Main” is not any more."], []):
        response = admin_client.post(url, form_of(other, is_default="on"), follow=True)
        assert [str(message) for message in response.context["messages"] if message.level_tag == "info"] == said


def test_what_is_wrong_with_a_login_stands_on_its_page(admin_client, login):
    SandboxSms.objects.update(is_active=False)
    assert b"is deactivated, so no code leaves" in admin_client.get(reverse(CHANGE, args=[login.pk])).content


def test_whoever_may_only_look_reads_the_names_of_countries(staff_client, login):
    MobileLogin.objects.update(regions=["US", "GB", "CN"])
    page = staff_client("view_mobilelogin").get(reverse(CHANGE, args=[login.pk])).content.decode()
    shown = dict(re.findall(r"<label>([^<]+):</label>\s*<div class=\"readonly\">([^<]*)</div>", page))
    assert shown["Countries"] == "China, United Kingdom, United States"
    assert shown["Chosen beforehand"] == "United States"
    assert "First region" not in page


def test_the_list_says_which_logins_cannot_send_and_why(admin_client, login):
    a_login(key="long", name="Long", is_default=False, code_length=7, sms_service=alibaba_cloud())
    a_login(key="text", name="Text", is_default=False, template=otp("empty", variables="code"))
    page = admin_client.get(reverse("admin:login_mobile_mobilelogin_changelist")).content.decode()
    shown = dict(re.findall(r'>(\w+)</a></th>.*?class="field-in_order">(.*?)</td>', page, re.DOTALL))
    assert shown["Main"] == "Yes"
    assert shown["Long"].startswith("<strong>No:</strong> ")
    assert "has no template code for “Ali”" in shown["Long"]
    assert "codes of 6 digits at most" in shown["Long"]
    assert "has no text" in shown["Text"]


def test_services_that_are_deactivated_are_marked(admin_client, login):
    TwilioSms.objects.create(key="off", name="Off", account_sid="AC" + "0" * 32, auth_token="-", is_active=False)
    form = admin_client.get(reverse(CHANGE, args=[login.pk])).context["adminform"].form
    assert [label for _value, label in form.fields["sms_service"].choices][1:] == ["Off (deactivated)", "Sandbox"]


def test_the_kill_switch_has_its_own_permission(staff_client, login):
    url = reverse(SWITCH, args=[login.pk])
    client = staff_client("view_mobilelogin", "change_mobilelogin")
    assert client.post(url, {"active": "0"}).status_code == 403
    client.post(reverse(CHANGE, args=[login.pk]), form_of(login, is_active=""))
    assert MobileLogin.objects.get().is_active

    client = staff_client("view_mobilelogin", "switch_mobilelogin")
    assert "nobody logs in or registers by it" in client.get(url).content.decode()
    assert MobileLogin.objects.get().is_active
    assert client.post(url, {"active": "0"}).status_code == 302
    assert client.get(url).url == reverse(CHANGE, args=[login.pk])
    assert not MobileLogin.objects.get().is_active
    assert b"switched off" in client.get(reverse(CHANGE, args=[login.pk])).content
    assert LogEntry.objects.get(user__username="staff1").object_id == str(login.pk)
    client.post(url, {"active": "1"})
    assert MobileLogin.objects.get().is_active
    history = LogEntry.objects.filter(user__username="staff1").order_by("pk")
    assert [entry.get_change_message() for entry in history] == ["Switched off.", "Switched on."]


def test_a_template_that_is_added_from_a_login_is_for_codes(admin_client, login):
    page = admin_client.get(reverse(CHANGE, args=[login.pk])).content.decode()
    (link,) = re.findall(r'id="add_id_template"[^>]*href="([^"]+)"', page)
    form = admin_client.get(unescape(link)).context["adminform"].form
    assert form.get_initial_for_field(form.fields["purpose"], "purpose") == "otp"


def test_whoever_may_not_switch_adds_no_login_that_sends(staff_client, login):
    client = staff_client("add_mobilelogin", "view_mobilelogin", "view_smsservice", "view_smstemplate")
    client.post("/admin/login_mobile/mobilelogin/add/", {**form_of(login), "key": "mine", "name": "Mine"})
    assert not MobileLogin.objects.get(key="mine").is_active


@pytest.mark.django_db(transaction=True)
def test_a_test_code_is_sent_by_post_with_permission(staff_client, broker):
    login = a_login()
    url = reverse(TEST, args=[login.pk])
    assert staff_client("view_mobilelogin").get(url).status_code == 403
    client = staff_client("view_mobilelogin", "send_test_mobilelogin")
    assert client.get(url).status_code == 200
    assert not SmsMessage.objects.exists()
    response = client.post(url, {"phone_number": "(206) 555-0123"})
    assert response.status_code == 302
    assert not re.search(r"555\D*0123", response.url)
    page = client.get(response.url).content.decode()
    assert "Being sent to +1 206****0123" in page
    assert "refresh" not in page  # whoever reads slowly is not interrupted
    assert f'<a href="{response.url}">Look again</a>' in page
    assert "login_mobile/outcome.js" in page
    broker.work()
    assert len(codes_sent(NUMBER)) == 1
    page = client.get(response.url).content.decode()
    assert "Outcome: Sent" in page
    assert "Look again" not in page
    assert "login_mobile/outcome.js" not in page
    assert "Open the message" not in page
    assert codes_sent(NUMBER)[0] not in page
    assert not Challenge.objects.exists()
    # Nobody else learns the outcome, nor does anybody by a message's id.
    assert "Outcome" not in client.get(f"{url}?message={SmsMessage.objects.get().pk}").content.decode()
    assert "Outcome" not in client.get(f"{url}?sent={SmsMessage.objects.get().pk}").content.decode()
    client = staff_client("view_mobilelogin", "send_test_mobilelogin")
    assert "Outcome" not in client.get(response.url).content.decode()
    assert "not a valid phone number" in client.post(url, {"phone_number": "12"}).content.decode()
    assert "Numbers of this country" in client.post(url, {"phone_number": "+447911123456"}).content.decode()


@pytest.mark.django_db(transaction=True)
def test_a_login_that_is_switched_off_says_so_and_sends_test_codes(admin_client, broker):
    login = a_login()
    url, words = reverse(TEST, args=[login.pk]), "switched off: it lets nobody in. The test code is sent all the same."
    assert words not in admin_client.get(url).content.decode()
    MobileLogin.objects.update(is_active=False)
    assert words in admin_client.get(url).content.decode()
    admin_client.post(url, {"phone_number": NUMBER})
    broker.work()
    assert len(codes_sent(NUMBER)) == 1


@pytest.mark.parametrize(
    ("name", "permission"), [(FIGURES, "view_figures_mobilelogin"), (UNBLOCK, "unblock_mobilelogin")]
)
def test_pages_of_a_login_have_permissions_of_their_own(staff_client, login, name, permission):
    url = reverse(name, args=[login.pk])
    assert staff_client("view_mobilelogin", "change_mobilelogin").get(url).status_code == 403
    assert staff_client(permission).get(url).status_code == 403
    assert staff_client("view_mobilelogin", permission).get(url).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_the_limits_of_a_number_are_lifted(admin_client, front_end):
    login = a_login()
    ada = front_end()
    assert ada.ask().status_code == 202
    assert ada.ask().status_code == 429
    response = admin_client.post(reverse(UNBLOCK, args=[login.pk]), {"phone_number": "2065550123"})
    assert response.status_code == 302
    assert ada.ask().status_code == 202
    assert not any(NUMBER in str(vars(entry)) for entry in LogEntry.objects.all())


@pytest.mark.django_db(transaction=True)
def test_an_admin_sees_why_requests_were_refused_and_lifts_the_limits_of_an_address(admin_client, front_end):
    login = a_login(address_sends_per_hour=2, address_sends_per_day=2)
    figures, lift = (reverse(name, args=[login.pk]) for name in (FIGURES, UNBLOCK))
    assert "Nobody was refused a code" in admin_client.get(figures).content.decode()
    ada = front_end(address="2001:db8::7")
    assert [ada.ask(phone).status_code for phone in (NUMBER, NUMBER, OTHER)] == [202, 429, 202]
    Pause.objects.create(login=login, scope="country", value="CN", active_key=Pause.key_of(login.pk, "country", "CN"))
    assert [ada.ask(phone).status_code for phone in (number(5), number(6), "+8613800000001")] == [429, 429, 403]
    assert admin_client.get(figures).context["refusals"] == [
        ("Codes from one IP address used up", 2),
        ("Asked again within the pause between two codes", 1),
        ("Country or prefix paused", 1),
    ]
    assert lift in admin_client.get(figures).content.decode()

    assert "yours is 127.0.0.1" in admin_client.get(lift).content.decode()
    assert "an IP address, or both" in admin_client.post(lift, {}).content.decode()
    assert "This is no IP address." in admin_client.post(lift, {"address": "nowhere"}).content.decode()
    assert ada.ask(number(5)).status_code == 429
    assert admin_client.post(lift, {"address": "2001:0db8:0::ffff"}).status_code == 302
    assert ada.ask(number(5)).status_code == 202
    [entry] = LogEntry.objects.all()
    assert entry.get_change_message() == "Lifted the limits of an address."
    assert "2001:" not in str(vars(entry))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("address", "shown"),
    [("2001:db8:1:2::7", "2001:db8:1:2::/64"), ("203.0.113.7", "203.0.113.7"), ("", "unknown")],
)
def test_the_form_takes_the_address_that_it_names(admin_client, front_end, address, shown):
    """Of an IPv6 address, its /64 and no other begins anew; the words say so."""
    login = a_login(address_sends_per_hour=1, address_sends_per_day=1)
    ada, other = front_end(address=address), front_end(address="2001:db8:1:3::7")
    assert [ada.ask(number(n)).status_code for n in (1, 2)] == [202, 429]
    assert [other.ask(number(n)).status_code for n in (3, 4)] == [202, 429]
    lift = reverse(UNBLOCK, args=[login.pk])
    page = admin_client.get(lift, REMOTE_ADDR=address).content.decode()
    assert f"yours is {shown}." in page
    assert "its /64 begins anew, and what its /48 shares." in page
    assert admin_client.post(lift, {"address": shown}).status_code == 302
    assert ada.ask(number(5)).status_code == 202
    assert other.ask(number(6)).status_code == 429


def test_challenges_show_neither_codes_nor_numbers(admin_client, login):
    one = challenge(login, state=ChallengeState.USED, outcome=Outcome.LOGGED_IN, digest="d" * 64)
    for url in ("/admin/login_mobile/challenge/", f"/admin/login_mobile/challenge/{one.pk}/change/"):
        page = admin_client.get(url).content.decode()
        assert "+1 206****0123" in page
        assert "2065550123" not in page
        assert "d" * 64 not in page
        assert one.token_hash not in page
    assert admin_client.post(f"/admin/login_mobile/challenge/{one.pk}/change/", {}).status_code == 403
    assert admin_client.get("/admin/login_mobile/challenge/add/").status_code == 403
    assert admin_client.get(f"/admin/login_mobile/challenge/{one.pk}/delete/").status_code == 403


def test_a_challenge_names_who_asked_where_somebody_did_and_leads_to_its_message(admin_client, login):
    """Whose number it is that a login is asked for is not looked up; who adds a number is logged in."""
    message = SmsMessage(service=login.sms_service, phone_number=NUMBER, status="delivered")
    message.save()
    anonymous, own = challenge(login, message=message), challenge(login, purpose="bind", user=a_user(username="ada"))
    page = admin_client.get(f"/admin/login_mobile/challenge/{anonymous.pk}/change/").content.decode()
    assert "Asked for by" not in page
    assert f'<a href="/admin/sms_services/smsmessage/{message.pk}/change/">Delivered</a>' in page
    page = admin_client.get(f"/admin/login_mobile/challenge/{own.pk}/change/").content.decode()
    assert "Asked for by" in page
    assert ">ada</a>" in page


@pytest.mark.parametrize("path", ["challenge/", "pause/", "mobilenumber/", "reviewnumber/"])
def test_empty_lists_say_what_would_be_there(admin_client, path):
    page = admin_client.get(f"/admin/login_mobile/{path}")
    assert str(page.context["when_empty"]) in page.content.decode()


def test_templates_that_do_not_fit_are_marked(admin_client, login):
    for key, purpose, text in (("hello", "notification", "Hello"), ("other", "otp", "${code} for ${name}")):
        SmsTemplate.objects.create(key=key, name=key, purpose=purpose, text=text)
    form = admin_client.get(reverse(CHANGE, args=[login.pk])).context["adminform"].form
    groups = {
        name: [(str(group), [label for _value, label in options]) for group, options in choices]
        for name in ("template", "notice_template")
        if (choices := [choice for choice in form.fields[name].choices if isinstance(choice[1], list)])
    }
    assert groups == {
        "template": [("Not for codes", ["hello", "other"])],
        "notice_template": [("With variables, which a notice cannot have", ["Login code", "other"])],
    }


def shown(response):
    return [row.phone_number for row in response.context["cl"].result_list]


def test_challenges_are_filtered(admin_client, login):
    other = a_login(key="other", is_default=False)
    challenge(login)
    challenge(other, OTHER, country="CN", sending=Sending.FAILED, outcome=Outcome.REFUSED)
    url = "/admin/login_mobile/challenge/"
    assert shown(admin_client.get(url)) == [OTHER, NUMBER]
    for query in (
        f"login={other.pk}",
        "country=CN",
        "sending__exact=failed",
        "outcome__exact=refused",
    ):
        assert shown(admin_client.get(f"{url}?{query}")) == [OTHER], query
    for query in ("country=XX", "login=x", "login=99999999999999999999"):
        assert shown(admin_client.get(f"{url}?{query}")) == [], query


@pytest.mark.parametrize(
    "lookup", ["phone_number__startswith=%2B1", "digest__startswith=a", "token_hash=0", "user__password__startswith=p"]
)
def test_nothing_hidden_can_be_guessed_by_filtering(admin_client, login, lookup):
    challenge(login)
    assert admin_client.get(f"/admin/login_mobile/challenge/?{lookup}").status_code == 400


def test_a_number_is_searched_without_standing_in_an_address(admin_client, login):
    challenge(login)
    challenge(login, OTHER)
    response = admin_client.post("/admin/login_mobile/challenge/find/", {"number": "(206) 555-0123"})
    assert not re.search(r"555\D*0123", response.url)
    found = admin_client.get(response.url)
    assert shown(found) == [NUMBER]
    assert "Found for +1 206****0123" in found.content.decode()
    assert "2065550123" not in found.content.decode()
    assert shown(admin_client.get("/admin/login_mobile/challenge/?found=nonsense")) == []
    refused = admin_client.post("/admin/login_mobile/challenge/find/", {"number": "12"}, follow=True)
    assert "not a valid phone number" in refused.content.decode()


def test_an_address_of_a_search_is_its_persons_and_lasts_a_day(client, admin_client, login):
    challenge(login)
    with time_machine.travel(timezone.now() - timedelta(hours=25)):
        old = admin_client.post("/admin/login_mobile/challenge/find/", {"number": NUMBER}).url
        assert shown(admin_client.get(old)) == [NUMBER]
    admin_client.logout()
    admin_client.force_login(User.objects.get(username="admin"))
    assert shown(admin_client.get(old)) == []
    url = admin_client.post("/admin/login_mobile/challenge/find/", {"number": NUMBER}).url
    client.force_login(User.objects.create_superuser("other"))
    assert shown(admin_client.get(url)) == [NUMBER]
    assert shown(client.get(url)) == []


def test_only_those_who_may_reveal_numbers_search_for_them(staff_client, admin_client, login):
    challenge(login)
    find = "/admin/login_mobile/challenge/find/"
    assert admin_client.get(find).url == "/admin/login_mobile/challenge/"
    url = admin_client.post(find, {"number": NUMBER}).url
    client = staff_client("view_challenge")
    assert client.post("/admin/login_mobile/challenge/find/", {"number": NUMBER}).status_code == 403
    assert "login-find" not in client.get("/admin/login_mobile/challenge/").content.decode()
    assert shown(client.get(url)) == []


def test_pages_of_challenges_follow_each_other(admin_client, login, monkeypatch):
    from login_mobile.admin.challenges import ChallengeAdmin

    monkeypatch.setattr(ChallengeAdmin, "list_per_page", 2)
    for n in range(5):
        challenge(login, number(n), created_at=timezone.now() - timedelta(minutes=n))
    url, pages = "/admin/login_mobile/challenge/", []
    response = admin_client.get(url)
    while True:
        pages.append(shown(response))
        if not response.context["cl"].older:
            break
        response = admin_client.get(url + response.context["cl"].older)
    assert pages == [[number(0), number(1)], [number(2), number(3)], [number(4)]]
    newer = admin_client.get(url + response.context["cl"].newer)
    assert shown(newer) == pages[1]
    assert shown(admin_client.get(url + newer.context["cl"].newest)) == pages[0]
    assert admin_client.get(f"{url}?before=nonsense").status_code == 302


@pytest.mark.parametrize(
    "path", ["mobilelogin/", "challenge/", "mobilenumber/", "pause/", "reviewnumber/", "mobilelogin/{login}/figures/"]
)
def test_lists_take_as_many_queries_for_many_rows_as_for_few(admin_client, path):
    def rows(start, end):
        for n in range(start, end):
            login = a_login(key=f"login-{n}", is_default=False) if n else a_login()
            user = a_user(number(n))
            challenge(login, number(n), user=user)
            Pause.objects.create(login=login, scope=PauseScope.COUNTRY, value="US", reason=PauseReason.UNUSED)
            review = ReviewNumber(login=login, number=number(n), valid_until=timezone.now())
            review.set_code("123456")
            review.save()
        return MobileLogin.objects.order_by("pk")[0]

    counts = []
    for start, end in ((0, 2), (2, 12)):
        url = "/admin/login_mobile/" + path.format(login=rows(start, end).pk)
        admin_client.get(url)
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert admin_client.get(url).status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1] < 15, counts


def test_figures_say_what_became_of_codes_by_time_country_and_prefix(admin_client, login):
    now = timezone.now()
    for _ in range(3):
        challenge(login, state=ChallengeState.USED, outcome=Outcome.LOGGED_IN)
    challenge(login)
    challenge(login, sending=Sending.SUPPRESSED)
    challenge(login, "+8613800000001", country="CN", prefix="+861380000", sending=Sending.FAILED)
    challenge(login, created_at=now - timedelta(days=3), state=ChallengeState.USED, outcome=Outcome.REFUSED)
    challenge(login, created_at=now - timedelta(days=40))
    challenge(a_login(key="other", is_default=False))
    url = reverse(FIGURES, args=[login.pk])

    figures = admin_client.get(url).context["figures"]
    totals = {series.key: series.total for series in figures.chart.series}
    assert totals == {"verified": 3, "refused": 1, "unused": 1, "failed": 1, "suppressed": 1, "waiting": 0}
    assert len(figures.chart.labels) == 7
    assert [series.values[-1] for series in figures.chart.series] == [3, 0, 1, 1, 1, 0]
    assert [(share.name, share.sent, share.verified) for share in figures.countries] == [
        ("United States", 5, 3),
        ("China", 0, 0),
    ]
    assert figures.prefixes[0].name == "+1206555****"
    assert figures.prefixes[0].percent == 60

    day = admin_client.get(f"{url}?span=day").context["figures"]
    assert sum(series.total for series in day.chart.series) == 6
    page = admin_client.get(f"{url}?span=month").content.decode()
    assert "<svg" in page
    assert "style=" not in page.split("login-figures")[1]


def test_pauses_are_seen_and_resumed_with_permission(staff_client, login):
    pause = Pause.objects.create(
        login=login, scope=PauseScope.PREFIX, value="+1206555", active_key="1", reason=PauseReason.CAP, sent=50, used=1
    )
    assert str(pause) == "Prefix +1206555****"
    url = reverse("admin:login_mobile_pause_resume", args=[pause.pk])
    client = staff_client("view_mobilelogin", "view_figures_mobilelogin", "view_pause")
    page = client.get(reverse(FIGURES, args=[login.pk])).content.decode()
    assert "+1206555****" in page
    assert "1 of 50 codes were used" in page
    assert url not in page
    assert client.post(url).status_code == 403

    assert url not in client.get(reverse("admin:login_mobile_pause_change", args=[pause.pk])).content.decode()

    client = staff_client("view_pause", "resume_pause")
    page = client.get(reverse("admin:login_mobile_pause_change", args=[pause.pk])).content.decode()
    assert re.search(rf'<form method="post" action="{url}">[^/]*<button type="submit">Resume</button>', page)
    assert client.get(url)["Location"] == reverse("admin:login_mobile_pause_change", args=[pause.pk])
    pause.refresh_from_db()
    assert not pause.resumed_at
    client.post(url)
    pause.refresh_from_db()
    assert pause.resumed_at
    assert pause.resumed_by.username == "staff1"
    assert LogEntry.objects.get(user__username="staff1").get_change_message() == "Resumed."
    assert "already" in client.post(url, follow=True).content.decode()


def test_pauses_are_resumed_from_the_list(admin_client, login):
    pauses = [
        Pause.objects.create(login=login, scope=PauseScope.COUNTRY, value=value, active_key=value, reason="unused")
        for value in ("JM", "CU")
    ]
    data = {"action": "resume_selected", "_selected_action": [pause.pk for pause in pauses]}
    assert (
        "2 pauses were resumed" in admin_client.post("/admin/login_mobile/pause/", data, follow=True).content.decode()
    )
    assert not Pause.objects.active().exists()
    assert shown_pauses(admin_client, "holding=1") == 0
    assert shown_pauses(admin_client, "holding=0") == 2


def shown_pauses(client, query):
    return len(client.get(f"/admin/login_mobile/pause/?{query}").context["cl"].result_list)


def test_numbers_are_masked_found_and_taken_away(admin_client):
    ada, bob = a_user(NUMBER, username="ada"), a_user(OTHER, username="bob")
    url = "/admin/login_mobile/mobilenumber/"
    page = admin_client.get(url).content.decode()
    assert "+1 206****0123" in page
    assert "2065550123" not in page
    assert "Show all" not in page
    searched = admin_client.get(f"{url}?q=bo")
    assert [row.user for row in searched.context["cl"].result_list] == [bob]
    assert "1 result (<a" in searched.content.decode()
    found = admin_client.post(f"{url}find/", {"number": NUMBER})
    assert [row.user for row in admin_client.get(found.url).context["cl"].result_list] == [ada]
    assert admin_client.get(f"{url}?number__startswith=%2B1").status_code == 400

    row = ada.mobile_number
    assert admin_client.get(f"{url}add/").status_code == 403
    assert "2065550123" not in admin_client.get(f"{url}{row.pk}/change/").content.decode()
    admin_client.post(f"{url}{row.pk}/delete/", {"post": "yes"})
    assert MobileNumber.objects.get().user == bob
    assert NUMBER not in LogEntry.objects.get().object_repr


@pytest.mark.parametrize("by", ["its page", "the list"])
def test_a_number_that_is_taken_away_gets_a_notice_and_a_signal(
    admin_client, login, broker, django_capture_on_commit_callbacks, by
):
    ada = a_user(NUMBER, username="ada")
    said = []

    def hear(**values):
        said.append((values["user"], values["number"], values["reason"], values["login"]))

    number_removed.connect(hear)
    url, row = "/admin/login_mobile/mobilenumber/", ada.mobile_number
    with django_capture_on_commit_callbacks(execute=True):
        if by == "its page":
            admin_client.post(f"{url}{row.pk}/delete/", {"post": "yes"})
        else:
            admin_client.post(url, {"action": "delete_selected", "_selected_action": row.pk, "post": "yes"})
    assert not MobileNumber.objects.exists()
    assert said == [(ada, NUMBER, "withdrawn", login)]
    notice = SmsMessage.objects.get()
    assert (notice.phone_number, notice.purpose) == (NUMBER, Purpose.NOTIFICATION)


@pytest.mark.parametrize("by", ["its page", "the list"])
def test_a_number_that_was_changed_meanwhile_is_not_said_to_be_deleted(admin_client, login, broker, by):
    ada, bob = a_user(NUMBER, username="ada").mobile_number, a_user(OTHER, username="bob").mobile_number
    url = "/admin/login_mobile/mobilenumber/"
    with just_before(
        "UPDATE",
        MobileNumber._meta.db_table,
        do=lambda: MobileNumber.objects.filter(pk=ada.pk).update(number="+12065550125"),
    ):
        if by == "its page":
            answer = admin_client.post(f"{url}{ada.pk}/delete/", {"post": "yes"}, follow=True)
        else:
            data = {"action": "delete_selected", "_selected_action": [ada.pk, bob.pk], "post": "yes"}
            answer = admin_client.post(url, data, follow=True)
    assert answer.redirect_chain == [(url, 302)]
    said = [(message.level_tag, str(message)) for message in answer.context["messages"]]
    left = "1 number was changed or taken away by somebody else meanwhile, and was left as it is."
    taken = [("success", "1 number was taken away.")] if by == "the list" else []
    assert said == [*taken, ("warning", left)]
    assert set(MobileNumber.objects.all()) == ({ada} if by == "the list" else {ada, bob})
    assert [entry.object_id for entry in LogEntry.objects.all()] == [str(bob.pk)] * len(taken)


def test_only_who_may_see_numbers_learns_that_one_is_taken(staff_client, login, broker):
    a_user(NUMBER)
    url = "/admin/login_mobile/reviewnumber/add/"
    tomorrow = timezone.now() + timedelta(days=1)
    data = {"login": login.pk, "code": "424242", "valid_until_0": f"{tomorrow:%Y-%m-%d}", "valid_until_1": "12:00"}
    client = staff_client("add_reviewnumber")
    page = client.get(url).content.decode()
    assert "whoever really has it cannot register" in page
    answers = [client.post(url, {**data, "number": number}).status_code for number in (NUMBER, OTHER)]
    assert answers == [302, 302]
    ReviewNumber.objects.all().delete()
    client = staff_client("add_reviewnumber", "reveal_smsmessage")
    assert "Somebody has this number" in client.post(url, {**data, "number": NUMBER}).content.decode()


def test_a_review_number_is_made_and_its_code_is_never_shown(admin_client, login):
    url = "/admin/login_mobile/reviewnumber/"
    data = {
        "login": login.pk,
        "number": "(206) 555-0123",
        "code": "424242",
        "valid_until_0": f"{timezone.now() + timedelta(days=30):%Y-%m-%d}",
        "valid_until_1": "12:00",
        "note": "Store",
    }
    assert "6 digits" in admin_client.post(f"{url}add/", {**data, "code": "4242424"}).content.decode()
    assert '<label class="required" for="id_code">' in admin_client.get(f"{url}add/").content.decode()
    assert "Enter a code" in admin_client.post(f"{url}add/", {**data, "code": ""}).content.decode()
    for easy in ("000000", "123456", "987654"):
        assert "Choose another" in admin_client.post(f"{url}add/", {**data, "code": easy}).content.decode()
    late = admin_client.post(f"{url}add/", {**data, "valid_until_0": "2126-01-01"}).content.decode()
    assert "within the next 90 days" in late
    a_user(OTHER)
    taken = admin_client.post(f"{url}add/", {**data, "number": OTHER}).content.decode()
    assert "Somebody has this number" in taken
    assert admin_client.post(f"{url}add/", data).status_code == 302
    review = ReviewNumber.objects.get()
    assert review.number == NUMBER
    assert review.has_code("424242")
    page = admin_client.get(f"{url}{review.pk}/change/").content.decode()
    assert '<label for="id_code">' in page
    assert "424242" not in page
    assert "2065550123" not in page
    admin_client.post(f"{url}{review.pk}/change/", {**data, "code": "", "note": "Other store"})
    review.refresh_from_db()
    assert review.note == "Other store"
    assert review.has_code("424242")
    entries = [str(vars(entry)) for entry in LogEntry.objects.all()]
    assert not any("2065550123" in entry or "424242" in entry for entry in entries)


@pytest.mark.parametrize("kind", ["user", "login"])
def test_code_requests_go_with_the_account_or_the_login_that_is_deleted(admin_client, login, front_end, kind):
    """Nobody deletes one by itself; but whoever asks to be forgotten is."""
    user = a_user(NUMBER)
    client = front_end()
    client.client.force_login(user)
    assert client.post("number/request", {"phone": OTHER}).status_code == 202
    Pause.objects.create(login=login, scope="country", value="CN", reason="unused")
    row, model = {"user": (user, "auth_user"), "login": (login, "login_mobile_mobilelogin")}[kind]
    url = reverse(f"admin:{model}_delete", args=[row.pk])
    assert "doesn't have permission" not in unescape(admin_client.get(url).content.decode())
    assert admin_client.post(url, {"post": "yes"}).status_code == 302
    assert not Challenge.objects.exists()


@pytest.mark.parametrize("by", ["its page", "the list"])
def test_what_goes_with_a_login_is_counted_where_there_may_be_thousands(admin_client, login, by):
    """Listed are its name and its review numbers."""
    for n in range(3):
        challenge(login, number(n))
    pause = Pause.objects.create(login=login, scope="country", value="CN", reason="unused")
    review = ReviewNumber.objects.create(login=login, number=OTHER, valid_until=timezone.now())
    other = a_login(key="other", name="Other", is_default=False)
    kept = challenge(other)
    if by == "its page":
        url, data = reverse("admin:login_mobile_mobilelogin_delete", args=[login.pk]), {}
    else:
        url = reverse("admin:login_mobile_mobilelogin_changelist")
        data = {"action": "delete_selected", "_selected_action": [login.pk]}
    with CaptureQueriesContext(connection) as queries:
        response = admin_client.post(url, data) if data else admin_client.get(url)
    page = unescape(response.content.decode())
    assert dict(response.context["model_count"]) == {
        "mobile logins": 1,
        "review numbers": 1,
        "code requests": 3,
        "pauses": 1,
    }
    assert "Mobile login: Main" in page
    assert f"Review number: {review}" in page
    assert str(pause) not in page
    assert "Code request: " not in page
    read = [query["sql"] for query in queries if "login_mobile_challenge" in query["sql"]]
    assert ["COUNT(*)" in sql for sql in read] == [True]
    admin_client.post(url, {**data, "post": "yes"})
    assert list(MobileLogin.objects.all()) == [other]
    assert list(Challenge.objects.all()) == [kept]
    assert not Pause.objects.exists()
    assert not ReviewNumber.objects.exists()


def test_whoever_may_not_delete_review_numbers_deletes_no_login_that_has_one(staff_client, login):
    ReviewNumber.objects.create(login=login, number=OTHER, valid_until=timezone.now())
    url = reverse("admin:login_mobile_mobilelogin_delete", args=[login.pk])
    client = staff_client("view_mobilelogin", "delete_mobilelogin")
    assert "review number" in client.get(url).content.decode()
    assert client.post(url, {"post": "yes"}).status_code == 403
    client = staff_client("view_mobilelogin", "delete_mobilelogin", "delete_reviewnumber")
    challenge(login)
    assert client.post(url, {"post": "yes"}).status_code == 302
    assert not MobileLogin.objects.exists()


@pytest.mark.parametrize("model", [Challenge, Pause])
@pytest.mark.parametrize(
    ("namespace", "name", "may"),
    [
        ("admin", "auth_user_delete", True),
        ("admin", "auth_user_changelist", True),
        ("admin", "auth_user_change", False),
        ("admin", "login_mobile_{}_delete", False),
        ("admin", "login_mobile_{}_changelist", False),
        ("shop", "auth_user_delete", False),
        ("", "auth_user_delete", False),
        ("", None, False),
    ],
)
def test_they_are_deleted_along_with_others_on_pages_of_admin_only(rf, model, namespace, name, may):
    request = rf.get("/")
    name = name and name.format(model._meta.model_name)
    request.resolver_match = ResolverMatch(print, (), {}, name, namespaces=[namespace])
    assert admin.site.get_model_admin(model).has_delete_permission(request) is may


def test_who_may_not_see_code_requests_does_not_find_them_in_the_index(staff_client, login):
    page = staff_client("view_mobilenumber").get(reverse("admin:index")).content.decode()
    assert reverse("admin:login_mobile_mobilenumber_changelist") in page
    assert "challenge" not in page
    assert "/pause/" not in page


def test_no_code_request_is_deleted_by_itself(admin_client, login, front_end):
    front_end().ask()
    (challenge,) = Challenge.objects.all()
    url = reverse("admin:login_mobile_challenge_delete", args=[challenge.pk])
    assert admin_client.post(url, {"post": "yes"}).status_code == 403
    url = reverse("admin:login_mobile_challenge_changelist")
    admin_client.post(url, {"action": "delete_selected", "_selected_action": [challenge.pk], "post": "yes"})
    assert Challenge.objects.exists()


def test_a_form_that_is_saved_does_not_undo_the_kill_switch(admin_client, login):
    """Somebody throws it between the moment that the row is read, and that it is written."""

    def throw(execute, sql, *more):
        if sql.startswith("UPDATE") and MobileLogin._meta.db_table in sql and not thrown:
            thrown.append(True)
            MobileLogin.objects.update(is_active=False)
        return execute(sql, *more)

    thrown: list[bool] = []
    with connection.execute_wrapper(throw):
        answer = admin_client.post(reverse(CHANGE, args=[login.pk]), form_of(login, name="Renamed"))
    assert answer.status_code == 302
    login.refresh_from_db()
    assert (login.name, login.is_active) == ("Renamed", False)


def test_a_login_that_is_deleted_while_its_form_is_saved_is_said_to_be(admin_client, login):
    with just_before("UPDATE", MobileLogin._meta.db_table, do=lambda: MobileLogin.objects.all().delete()):
        answer = admin_client.post(reverse(CHANGE, args=[login.pk]), form_of(login, name="Renamed"))
    assert answer.url == reverse("admin:login_mobile_mobilelogin_changelist")
    [said] = warnings_of(admin_client.get(answer.url))
    assert said == "Somebody has deleted this login meanwhile, so nothing was saved."
    assert not LogEntry.objects.exists()


def template_form(template: SmsTemplate, codes=(), **changes):
    """What the browser posts for a template and its stored codes."""
    fields = ("name", "key", "purpose", "text", "variables")
    form = {name: getattr(template, name) for name in fields}
    form |= {"codes-TOTAL_FORMS": len(codes), "codes-INITIAL_FORMS": len(codes)}
    for n, code in enumerate(codes):
        form |= {f"codes-{n}-{name}": getattr(code, f"{name}_id") for name in ("template", "service")}
        form |= {f"codes-{n}-id": code.pk, f"codes-{n}-code": code.code}
    return {**form, **changes}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "Other words"}, []),
        ({"purpose": "notification"}, ["is not for one-time codes"]),
        ({"purpose": "notification", "text": "Hello"}, ["is not for one-time codes", "no place for the code"]),
    ],
)
def test_whoever_changes_a_template_hears_of_logins_that_cannot_send(admin_client, login, changes, words):
    a_login(key="off", name="Off", is_default=False, is_active=False)
    a_login(key="else", name="Elsewhere", is_default=False, template=otp("else", TEXT))
    url = reverse("admin:sms_services_smstemplate_change", args=[login.template_id])
    said = warnings_of(admin_client.post(url, template_form(login.template, **changes), follow=True))
    assert len(said) == bool(words)
    assert all(word in said[0] for word in ["Something is wrong with the mobile login “Main” now.", *words] if said)


def test_whoever_changes_the_template_of_the_notice_hears_of_it(admin_client, login):
    notice = SmsTemplate.objects.create(key="notice", name="Notice", text="It was changed.")
    MobileLogin.objects.update(notice_template=notice)
    url = reverse("admin:sms_services_smstemplate_change", args=[notice.pk])
    [said] = warnings_of(admin_client.post(url, template_form(notice, text="Hello ${name}"), follow=True))
    assert "“Main”" in said
    assert "The notice has no variables." in said


def test_whoever_takes_a_code_from_a_template_hears_of_logins_that_need_it(admin_client):
    login = a_login(alibaba_cloud())
    code = TemplateCode.objects.create(template=login.template, service=login.sms_service, code="SMS_1")
    url = reverse("admin:sms_services_smstemplate_change", args=[login.template_id])
    assert warnings_of(admin_client.post(url, template_form(login.template, [code]), follow=True)) == []
    form = template_form(login.template, [code], **{"codes-0-DELETE": "on"})
    [said] = warnings_of(admin_client.post(url, form, follow=True))
    assert "has no template code for “Ali”" in said


@pytest.mark.parametrize("by", ["its page", "the list"])
def test_whoever_deactivates_a_service_hears_of_logins_that_cannot_send(admin_client, login, by):
    service = login.sms_service
    if by == "its page":
        url = reverse("admin:sms_services_smsservice_change", args=[service.pk])
        data = {"name": service.name, "key": service.key}
        assert warnings_of(admin_client.post(url, {**data, "is_active": "on"}, follow=True)) == []
    else:
        url = reverse("admin:sms_services_smsservice_changelist")
        data = {"action": "deactivate", "_selected_action": [service.pk]}
    [said] = warnings_of(admin_client.post(url, data, follow=True))
    assert "Something is wrong with the mobile login “Main” now. The SMS service “Sandbox” is deactivated" in said


@pytest.mark.parametrize("by", ["verifying", "importing"])
def test_whoever_hears_of_a_platforms_refusal_hears_of_logins_that_cannot_send(admin_client, alibaba_cloud, by):
    login = a_login(create_service(alibaba_cloud))
    TemplateCode.objects.create(template=login.template, service=login.sms_service, code="SMS_100001")
    alibaba_cloud.templates = []
    if by == "verifying":
        alibaba_cloud.signs = [Sign(login.sms_service.verify_sign, "AUDIT_STATE_NOT_PASS")]
        url = reverse("admin:sms_services_smsservice_verify", args=[login.sms_service_id])
        response = admin_client.post(url, follow=True)
    else:
        response = press(admin_client, login.sms_service, admin_client.get(import_url(login.sms_service)))
    [said] = warnings_of(response)
    assert "Something is wrong with the mobile login “Main” now." in said
    assert ("status: rejected" if by == "verifying" else "status: no longer there") in said


def test_warning_of_logins_takes_as_many_queries_for_many_as_for_few(login):
    def warned() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert warn_of_logins(services=[login.sms_service], templates=[login.template]) == []
        return len(queries)

    few = warned()
    for n in range(10):
        a_login(key=f"login-{n}", is_default=False, template=otp(f"code-{n}", TEXT))
    assert warned() == few
