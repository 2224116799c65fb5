"""Mobile login in admin, in a real browser: a login made with nothing but the form and its “+”, and its pages."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from playwright.sync_api import expect

from login_mobile.choices import ChallengeState, Outcome, PauseReason, PauseScope, Sending
from login_mobile.models import Challenge, MobileLogin, Pause, ReviewNumber
from sms_services.models import SandboxSms
from tests import login_browsers
from tests.browsing import fill_name
from tests.login_browsers import PHONE, WIDE
from tests.login_under_test import NUMBER, a_login, a_user, number
from tests.services_under_test import provider_name
from tests.simulators import AlibabaCloudSimulator, AwsSnsSimulator, Sign, Template, TwilioSimulator

pytest_plugins = ["tests.login_under_test", "tests.login_browsers"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser]

KINDS = [
    (AlibabaCloudSimulator, "Alibaba Cloud SMS"),
    (AwsSnsSimulator, "AWS SNS SMS"),
    (TwilioSimulator, "Twilio SMS"),
]
TEXT = "Your code is ${code}."


@pytest.fixture
def admin_page(open_page, live_server, admin_user):
    def make(**options):
        page = open_page(**options)
        page.goto(f"{live_server.url}/admin/login/")
        page.fill("#id_username", "admin")
        page.fill("#id_password", "password")
        page.click("input[type=submit]")
        page.wait_for_url("**/admin/")
        page.base = live_server.url
        return page

    return make


def popup(page, link):
    """The window that a “+” opens."""
    with page.expect_popup() as opened:
        page.click(link)
    opened.value.set_default_timeout(10_000)
    return opened.value


def add_service(page, kind, credentials):
    window = popup(page, "#add_id_sms_service")
    window.get_by_label(kind, exact=True).check()
    window.get_by_role("button", name="Continue").click()
    window.fill("#id_name", "Main account")
    for field, value in credentials.items():
        locator = window.locator(f"#id_{field}")
        if locator.evaluate("element => element.tagName") == "SELECT":
            locator.select_option(value)
        else:
            locator.fill(value)
    with window.expect_event("close"):
        window.click("input[name=_save]")
    expect(page.locator("#id_sms_service option:checked")).to_have_text("Main account")


def add_template(page, code=""):
    window = popup(page, "#add_id_template")
    window.fill("#id_name", "Login code")
    window.select_option("#id_purpose", "otp")
    window.fill("#id_text", TEXT)
    if code:
        window.get_by_role("button", name="Add another Template code").click()
        window.select_option("#id_codes-0-service", label="Main account")
        window.fill("#id_codes-0-code", code)
    with window.expect_event("close"):
        window.click("input[name=_save]")
    expect(page.locator("#id_template option:checked")).to_have_text("Login code")


@pytest.mark.parametrize(("simulator_class", "kind"), KINDS, ids=["alibaba", "sns", "twilio"])
def test_an_admin_makes_a_login_with_the_plus_signs_and_a_person_registers(
    admin_page, open_page, strict_server, eager, point_to, simulator_class, kind
):
    with simulator_class() as simulator:
        point_to(simulator)
        by_code = provider_name(simulator) == "alibaba_cloud"
        if by_code:
            simulator.signs = [Sign(simulator.credentials["verify_sign"])]
            simulator.templates = [Template("SMS_100002", TEXT)]
        page = admin_page()
        page.goto(f"{page.base}/admin/login_mobile/mobilelogin/add/")
        fill_name(page, "Shop")
        expect(page.locator("#id_key")).to_have_value("shop")
        add_service(page, kind, simulator.credentials)
        add_template(page, "SMS_100002" if by_code else "")
        page.select_option("#id_regions_from", "CN")
        page.click("#id_regions_add")
        page.click("input[name=_continue]")
        expect(page.locator(".messagelist")).to_contain_text("added successfully")
        assert sorted(MobileLogin.objects.get().regions) == ["CN", "US"]

        person = open_page(window=PHONE)
        person.goto(f"{strict_server}/login/")
        person.select_option("#id_region", "CN")
        person.fill("#id_phone", "138 0000 0001")
        person.click(".login-button")
        expect(person.locator("#id_code")).to_be_visible()
        [sent] = simulator.journal
        assert sent.phone_number == "+8613800000001"
        if by_code:
            assert (sent.template_code, sent.signature) == ("SMS_100002", simulator.credentials["verify_sign"])
            assert list(sent.params) == ["code"]
            code = sent.params["code"]
        else:
            code = sent.text.removeprefix("Your code is ").removesuffix(".")
        person.fill("#id_code", code)
        person.wait_for_url("**/login/account/")
    assert User.objects.get(is_staff=False).mobile_number.number == "+8613800000001"


def test_what_cannot_work_is_refused_and_says_what_to_do(admin_page, broker):
    with AlibabaCloudSimulator() as simulator:
        credentials = simulator.credentials
    login = a_login()
    page = admin_page()
    page.goto(f"{page.base}/admin/login_mobile/mobilelogin/{login.pk}/change/")
    add_service(page, "Alibaba Cloud SMS", credentials)
    page.click("input[name=_save]")
    expect(page.locator(".field-template .errorlist")).to_contain_text("Add the code that the platform shows for it.")
    assert MobileLogin.objects.get().sms_service == login.sms_service


def lively(login: MobileLogin) -> None:
    """A week of codes, an attack among them."""
    now = timezone.now()
    rows = []
    for day in range(7):
        for n in range(30 - 3 * day):
            used = n % 5 != 0
            rows.append(
                Challenge(
                    login=login,
                    purpose="login",
                    phone_number=number(n),
                    country="US" if n % 3 else "CN",
                    prefix="+1206555" if n % 3 else "+861380000",
                    created_at=now - timedelta(days=day),
                    expires_at=now - timedelta(days=day),
                    token_hash=f"{day:032}{n:032}",
                    state=ChallengeState.USED if used else ChallengeState.OPEN,
                    outcome=(Outcome.REFUSED if n == 4 else Outcome.LOGGED_IN) if used else "",
                    sending=Sending.HANDED_OVER if used or n % 2 else [Sending.FAILED, Sending.SUPPRESSED][n % 4 // 2],
                )
            )
    Challenge.objects.bulk_create(rows)
    Pause.objects.create(
        login=login,
        scope=PauseScope.PREFIX,
        value="+1206555",
        active_key=Pause.key_of(login.pk, PauseScope.PREFIX, "+1206555"),
        reason=PauseReason.UNUSED,
        sent=50,
        used=1,
    )
    a_user("+12065550123", username="ada")


@pytest.mark.parametrize(
    ("window", "language"),
    [
        pytest.param(WIDE, "en-US", id="wide-english"),
        pytest.param(PHONE, "zh-CN", id="phone-chinese"),
        pytest.param(WIDE, "zh-CN", id="wide-chinese", marks=pytest.mark.soak),
        pytest.param(PHONE, "en-US", id="phone-english", marks=pytest.mark.soak),
    ],
)
def test_the_pages_of_a_login_fit_and_can_be_read(admin_page, eager, window, language):
    login = a_login()
    lively(login)
    page = admin_page(window=window, language=language)
    root = f"{page.base}/admin/login_mobile"
    for path in (
        "mobilelogin/",
        "mobilelogin/add/",
        f"mobilelogin/{login.pk}/change/",
        f"mobilelogin/{login.pk}/figures/",
        f"mobilelogin/{login.pk}/test/",
        f"mobilelogin/{login.pk}/unblock/",
        "challenge/",
        f"challenge/{Challenge.objects.newest_first()[0].pk}/change/",
        "mobilenumber/",
        "pause/",
        f"pause/{Pause.objects.get().pk}/change/",
        "reviewnumber/add/",
    ):
        page.goto(f"{root}/{path}")
        look(page)


def look(page):
    """The page fits its window, and axe finds nothing wrong with what is ours; the frame around it is Django's."""
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), page.url
    ours = ".login-figures, .login-find, .login-problem, .sms-outcome"
    if not page.locator(ours).count():
        return
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        page.wait_for_timeout(500)  # Django's links change their colour gradually
        found = login_browsers.Axe().run(page, context=ours)
        assert found.violations_count == 0, f"{page.url}, {theme}\n{found.generate_report()}"


def test_an_admin_looks_at_figures_resumes_and_switches_off(admin_page, broker):
    login = a_login()
    lively(login)
    page = admin_page()
    page.goto(f"{page.base}/admin/login_mobile/mobilelogin/{login.pk}/change/")
    page.get_by_role("link", name="Figures").click()
    expect(page.locator("svg rect").first).to_be_visible()
    page.get_by_role("link", name="30 days").click()
    expect(page.get_by_role("link", name="30 days")).to_have_attribute("aria-current", "page")
    page.get_by_text("As a table").click()
    expect(page.locator(".login-chart table tbody tr")).to_have_count(7)
    page.get_by_role("button", name="Resume +1206555****").click()
    expect(page.locator(".messagelist")).to_contain_text("gets codes again")
    assert not Pause.objects.active().exists()

    page.goto(f"{page.base}/admin/login_mobile/mobilelogin/{login.pk}/change/")
    page.get_by_role("link", name="Send a test code").click()
    page.fill("#id_phone_number", "206 555 0123")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("status")).to_contain_text("Being sent to +1 206****0123")
    status = page.get_by_role("status").element_handle()
    page.get_by_role("link", name="Look again").focus()
    broker.work()
    expect(page.get_by_role("status")).to_contain_text("Outcome: Sent")
    expect(page.get_by_role("status")).to_be_focused()
    assert status.is_visible()  # it is the same one, so a screen reader tells that it says something else
    expect(page.get_by_role("button", name="Send")).to_be_visible()

    page.goto(f"{page.base}/admin/login_mobile/mobilelogin/{login.pk}/change/")
    page.get_by_role("link", name="Switch off").click()
    page.get_by_role("button", name="Switch off").click()
    expect(page.locator(".errornote")).to_contain_text("lets nobody in")
    page.get_by_role("button", name="Switch on").click()
    expect(page.get_by_role("link", name="Switch off")).to_be_visible()


@pytest.mark.parametrize(
    ("words", "language"),
    [
        pytest.param(1, "en-US", id="one-word"),
        pytest.param(20, "en-US", id="many-words", marks=pytest.mark.soak),
        pytest.param(1, "zh-CN", id="one-word-chinese", marks=pytest.mark.soak),
    ],
)
def test_long_names_hide_nothing(admin_page, eager, words, language):
    name = " ".join(["W" * (100 // words - (words > 1))] * words)
    login = a_login(SandboxSms.objects.create(key="long", name=name, is_active=False), key="w" * 50, name=name)
    lively(login)
    review = ReviewNumber(login=login, number=NUMBER, valid_until=timezone.now(), note=name)
    review.set_code("428413")
    review.save()
    page = admin_page(language=language)
    for path in (
        "mobilelogin/",
        "pause/",
        "reviewnumber/",
        "reviewnumber/add/",
        f"mobilelogin/{login.pk}/change/",
        f"mobilelogin/{login.pk}/figures/",
        f"mobilelogin/{login.pk}/test/",
    ):
        page.goto(f"{page.base}/admin/login_mobile/{path}")
        look(page)
        assert page.evaluate("[...document.querySelectorAll('.results')].every(it => it.scrollWidth <= it.clientWidth)")
        for select in page.locator(".related-widget-wrapper select:visible").all():
            box = select.bounding_box()
            assert box["x"] + box["width"] <= WIDE["width"], path
    page.goto(f"{page.base}/admin/login_mobile/mobilelogin/{login.pk}/change/")
    name_end = page.locator("#content > h2").bounding_box()
    assert page.locator(".object-tools").bounding_box()["y"] >= name_end["y"] + name_end["height"]
