"""What the README promises, as an admin sees it: a real browser, the real SDKs, simulators in the vendors' place."""

import re
from dataclasses import replace

import pytest
from playwright.sync_api import expect

from sms_services.choices import MessageStatus
from sms_services.models import AlibabaCloudSms, SmsService, TemplateCode
from tests.browsing import fill_name
from tests.log_messages import LIST, MASKED, a_message, a_service, assert_private, template
from tests.simulators import AlibabaCloudSimulator, AwsSnsSimulator, Sign, Template, TwilioSimulator
from tests.test_sandbox_inbox import with_strict_policy

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser]

WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
KINDS = [
    ("Alibaba Cloud SMS", AlibabaCloudSimulator, "alibaba_cloud", "access_secret"),
    ("AWS SNS SMS", AwsSnsSimulator, "aws_sns", "secret_key"),
    ("Twilio SMS", TwilioSimulator, "twilio", "auth_token"),
]

LOOKS = pytest.mark.parametrize(
    ("window", "theme"),
    [
        pytest.param(WIDE, "light", id="light-wide"),
        pytest.param(PHONE, "dark", id="dark-phone"),
        pytest.param(WIDE, "dark", id="dark-wide", marks=pytest.mark.soak),
        pytest.param(PHONE, "light", id="light-phone", marks=pytest.mark.soak),
    ],
)


@pytest.fixture
def admin_page(page, live_server, admin_user):
    page.goto(f"{live_server.url}/admin/login/")
    page.fill("#id_username", "admin")
    page.fill("#id_password", "password")
    page.click("input[type=submit]")
    page.wait_for_url("**/admin/")
    return page


def add_service(page, base_url, kind, name, fields):
    page.goto(f"{base_url}/admin/sms_services/smsservice/add/")
    page.get_by_label(kind, exact=True).check()
    page.get_by_role("button", name="Continue").click()
    fill_name(page, name)
    expect(page.locator("#id_key")).to_have_value(name.lower())
    for field, value in fields.items():
        locator = page.locator(f"#id_{field}")
        if locator.evaluate("element => element.tagName") == "SELECT":
            locator.select_option(value)
        else:
            locator.fill(value)
    page.get_by_role("button", name="Save and continue editing").click()
    expect(page.locator(".messagelist")).to_contain_text("added successfully")


def assert_fits_its_window(page):
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.parametrize(
    ("kind", "simulator_class", "name", "secret", "window"),
    [
        pytest.param(*KINDS[0], WIDE, id="alibaba-wide"),
        pytest.param(*KINDS[1], WIDE, id="sns-wide"),
        pytest.param(*KINDS[2], WIDE, id="twilio-wide"),
        pytest.param(*KINDS[0], PHONE, id="alibaba-phone"),
        pytest.param(*KINDS[1], PHONE, id="sns-phone", marks=pytest.mark.soak),
        pytest.param(*KINDS[2], PHONE, id="twilio-phone", marks=pytest.mark.soak),
    ],
)
def test_an_admin_adds_a_service_and_verifies_it(
    admin_page, live_server, sms_settings, kind, simulator_class, name, secret, window
):
    page = admin_page
    page.set_viewport_size(window)
    with simulator_class() as simulator:
        sms_settings(ENDPOINT_URLS={name: simulator.url})
        add_service(page, live_server.url, kind, "Main", simulator.credentials)
        assert simulator.credentials[secret] not in page.content()
        expect(page.locator(f"#id_{secret}")).to_have_value("")
        expect(page.locator(f"#id_{secret}")).to_have_attribute("placeholder", re.compile("Stored"))
        assert_fits_its_window(page)

        page.get_by_role("button", name="Verify credentials").click()
        expect(page.locator(".messagelist .success")).to_contain_text("The credentials work.")

        page.fill(f"#id_{secret}", "a-wrong-secret-0123456789")
        page.get_by_role("button", name="Save and continue editing").click()
        expect(page.locator(".messagelist")).to_contain_text("changed successfully")
        page.get_by_role("button", name="Verify credentials").click()
        error = page.locator(".messagelist .error")
        expect(error).to_contain_text("did not accept the credentials")
        assert "a-wrong-secret" not in page.content()
        assert_fits_its_window(page)
    assert SmsService.objects.get().key == "main"


@pytest.mark.parametrize("window", [WIDE, PHONE], ids=["wide", "phone"])
def test_a_text_travels_from_the_admin_to_the_sandbox_inbox(admin_page, live_server, window):
    page = admin_page
    page.set_viewport_size(window)
    add_service(page, live_server.url, "Sandbox SMS", "Sandbox", {})

    page.goto(f"{live_server.url}/admin/sms_services/smstemplate/add/")
    fill_name(page, "Welcome")
    page.fill("#id_text", "Welcome, ${name}!")
    preview = page.locator(".sms-preview")
    expect(preview).to_contain_text("Welcome, name!")
    preview.get_by_label("name").fill("Zoë’s friend")
    expect(preview).to_contain_text("Welcome, Zoë’s friend!")
    expect(preview).to_contain_text("UCS-2 because of ë ’")
    assert_fits_its_window(page)
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".messagelist")).to_contain_text("added successfully")

    page.goto(f"{live_server.url}/admin/sms_services/smsservice/{SmsService.objects.get().pk}/change/")
    page.get_by_role("link", name="Send test SMS").click()
    page.fill("#id_phone_number", "+1 (206) 555-0100")
    page.fill("#id_variable_name", "Alex")
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("Outcome: Sent")
    assert_fits_its_window(page)

    page.goto(f"{live_server.url}/sms/sandbox/")
    expect(page.locator("body")).to_contain_text("Welcome, Alex!")
    assert_fits_its_window(page)


@LOOKS
def test_an_admin_imports_templates(admin_page, live_server, sms_settings, window, theme):
    page = admin_page
    page.set_viewport_size(window)
    page.emulate_media(color_scheme=theme)
    with AlibabaCloudSimulator() as simulator:
        sms_settings(ENDPOINT_URLS={"alibaba_cloud": simulator.url})
        simulator.signs = [Sign(simulator.credentials["verify_sign"])]
        simulator.templates = [
            Template("SMS_1", "Parcel ${parcel} has come", "Parcel", template_type=0, outer_template_type=1),
            Template("SMS_2", "Code ${code}", "Login", audit_status="AUDIT_STATE_NOT_PASS", reject_reason="x" * 200),
            Template("SMS_3", "Sale", "Sale", template_type=1, outer_template_type=2),
        ]
        add_service(page, live_server.url, "Alibaba Cloud SMS", "Main", simulator.credentials)
        page.get_by_role("link", name="Import templates").click()
        expect(page.locator(".sms-signature")).to_contain_text("approved")
        expect(page.get_by_role("heading", name="New (3)")).to_be_visible()
        page.get_by_label("Sale").uncheck()
        assert_fits_its_window(page)
        page.get_by_role("button", name="Import what is chosen").click()
        expect(page.locator(".messagelist .success")).to_contain_text("Imported: 2 new")

        simulator.templates[0] = replace(simulator.templates[0], content="Parcel ${parcel} waits at ${place}")
        page.reload()
        expect(page.locator("#changed")).to_contain_text("Parcel ${parcel} has come")
        expect(page.locator("#changed")).to_contain_text("Parcel ${parcel} waits at ${place}")
        assert_fits_its_window(page)
        simulator.templates[0] = replace(simulator.templates[0], content="Parcel ${parcel} waits at the counter")
        del simulator.templates[1]
        page.get_by_role("button", name="Import what is chosen").click()
        expect(page.locator(".messagelist .warning")).to_contain_text("left alone: SMS_1")
        expect(page.locator("#changed")).to_contain_text("Parcel ${parcel} waits at the counter")
        expect(page.locator("#gone")).to_contain_text("Login")
        assert_fits_its_window(page)
        page.get_by_role("button", name="Import what is chosen").click()
        expect(page.locator(".messagelist .success")).to_contain_text("1 changed, 1 marked as no longer there")
    assert not TemplateCode.objects.filter(platform_status="").exists()


def test_the_import_works_without_javascript(browser, live_server, sms_settings, admin_user):
    with (
        AlibabaCloudSimulator() as simulator,
        browser.new_context(java_script_enabled=False, locale="en-US") as context,
    ):
        sms_settings(ENDPOINT_URLS={"alibaba_cloud": simulator.url})
        simulator.templates = [Template("SMS_1", "Hello", "Hello", template_type=0, outer_template_type=1)]
        service = AlibabaCloudSms.objects.create(key="main", name="Main", **simulator.credentials)
        page = context.new_page()
        page.goto(f"{live_server.url}/admin/login/?next=/admin/sms_services/smsservice/{service.pk}/import/")
        page.fill("#id_username", "admin")
        page.fill("#id_password", "password")
        page.click("input[type=submit]")
        page.get_by_role("link", name="Leave out all").click()
        expect(page.get_by_label("Hello")).not_to_be_checked()
        page.get_by_label("Hello").check()
        page.get_by_role("button", name="Import what is chosen").click()
        expect(page.locator(".messagelist .success")).to_contain_text("Imported: 1 new")


@LOOKS
def test_the_log_fits_beside_the_sidebar_and_is_searched(admin_page, live_server, window, theme):
    page = admin_page
    page.set_viewport_size(window)
    page.emulate_media(color_scheme=theme)
    page.route("**/*", with_strict_policy)
    service = a_service(name="Alibaba Cloud in mainland China")
    long = template(key="long", name="Appointment reminder of the evening before")
    for status in MessageStatus:
        a_message(status=status, service=service, template=long, phone_number="+8613800001234", segments=12)
    a_message(status="sent", error_kind="", service=service)

    page.goto(f"{live_server.url}{LIST}")
    results = page.locator("#changelist-form .results")
    assert results.evaluate("element => element.scrollWidth <= element.clientWidth")
    assert_fits_its_window(page)
    failed = page.locator(".sms-badge-failed").first
    sign = failed.evaluate("element => getComputedStyle(element, '::before').content")
    assert "✕" in sign
    assert contrast(failed) > 4.5
    assert contrast(page.locator(".sms-badge-sent").first) > 4.5
    assert contrast(page.locator(".sms-badge-unknown").first) > 4.5

    page.fill("#searchbar", "+1 206 555 0123")
    page.press("#searchbar", "Enter")
    expect(page.locator("#searchbar")).to_have_value(MASKED)
    expect(page.locator("#result_list tbody tr")).to_have_count(1)
    assert_private(page.url)
    assert_fits_its_window(page)
    page.get_by_role("link", name="Failed", exact=True).click()
    page.wait_for_url("**status__exact=failed**")
    expect(page.locator("#searchbar")).to_have_value(MASKED)
    assert_private(page.url)
    page.go_back()
    page.get_by_role("link", name="Show all").click()
    expect(page.locator("#searchbar")).to_have_value("")
    expect(page.locator("#result_list tbody tr")).to_have_count(9)


def contrast(element):
    """The contrast of an element's text with its own background, by the formula of WCAG 2."""

    def luminance(colour):
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    styles = element.evaluate("element => [getComputedStyle(element).color, getComputedStyle(element).backgroundColor]")
    darker, lighter = sorted(map(luminance, styles))
    return (lighter + 0.05) / (darker + 0.05)
