"""A notification as an admin sends it: a real browser, the sandbox service, and a worker that empties the queue.

All pages come with a strict Content-Security-Policy, as a careful host project sends it.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import Error, expect

from notifications.models import Notification, NotificationPreset, SuppressedNumber
from sms_services.models import SandboxMessage, SandboxSms, SmsTemplate
from tests.browsing import fill_name
from tests.people import a_department, a_person, a_role, states
from tests.services_under_test import create_template

pytest_plugins = ["tests.services_under_test"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser]

WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
windows = pytest.mark.parametrize("window", [WIDE, PHONE], ids=["wide", "phone"])
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
POLICY += "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
#: What select2 writes into its own elements; it works without.
FOREIGN = "Applying inline style|inline style"
COMPOSE = "/admin/notifications/notification/compose/"


@pytest.fixture
def staff(sandbox):
    """Two departments that overlap, a role, and somebody by name: seven people, of whom five can get a text."""
    SandboxSms.objects.update(price_per_segment="0.0500", currency="EUR")
    create_template(key="alarm", text="${name}: ${device} fails")
    people = {
        name: a_person(name, number)
        for name, number in {
            "ada": "+12065550111",
            "ben": "+12065550112",
            "cleo": "+12065550113",
            "dan": "+12065550114",
            "eve": None,
            "fay": "+12065550116",
            "gus": "+12065550117",
        }.items()
    }
    works = a_department("Works", [people["ada"], people["ben"], people["eve"]])
    a_department("Hall", [people["ben"], people["cleo"], people["fay"]], below=works)
    a_role("Guards", [people["ada"], people["dan"]])
    SuppressedNumber.objects.create(phone_number="+12065550116")
    return people


def with_policy(page):
    """Send the policy with every page, and collect what it stopped."""
    stopped: list[str] = []

    def fulfill(route):
        with suppress(Error):  # the page was left or closed in between
            response = route.fetch(max_redirects=0)
            route.fulfill(response=response, headers={**response.headers, "content-security-policy": POLICY})

    page.route(re.compile("/admin/"), fulfill)
    page.on("console", lambda message: stopped.append(message.text) if "Content Security" in message.text else None)
    return stopped


def log_in(page, base_url, then):
    page.goto(f"{base_url}/admin/login/?next={then}")
    page.fill("#id_username", "admin")
    page.fill("#id_password", "password")
    page.click("input[type=submit]")
    page.wait_for_url(lambda url: "/login/" not in url)  # with its scripts: some fill in fields themselves


def choose(page, field, *names):
    """As one does with a field that searches while one types."""
    for name in names:
        box = page.locator(f".field-{field} .select2-search__field")
        box.click()
        box.fill(name)
        page.locator(".select2-results__option", has_text=name).first.click()


def fits(page):
    page.wait_for_load_state()
    return page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def work(broker):
    """What a worker does until nothing is left."""
    while broker.work():
        pass


def assert_everybody_is_there_once(page):
    rows = page.locator(".notifications-list tbody tr")
    expect(rows).to_have_count(7)
    for name, words in {
        "ada": ["Department: Works", "Role: Guards", "Sent"],
        "ben": ["Department: Works", "Department: Works › Hall", "Sent"],
        "cleo": ["Department: Works › Hall", "Sent"],
        "dan": ["Role: Guards", "Sent"],
        "eve": ["Department: Works", "Skipped", "No phone number"],
        "fay": ["Department: Works › Hall", "Skipped", "Suppressed"],
        "gus": ["Chosen by name", "Sent"],
    }.items():
        row = rows.filter(has_text=f"({name})")
        expect(row).to_have_count(1)
        for each in words:
            expect(row).to_contain_text(each)


@windows
def test_an_admin_composes_confirms_and_watches(page, live_server, admin_user, broker, staff, window):
    stopped = with_policy(page)
    page.set_viewport_size(window)
    log_in(page, live_server.url, COMPOSE)

    choose(page, "departments", "Works", "Hall")
    choose(page, "roles", "Guards")
    choose(page, "users", "gus")
    people = page.locator("#notifications-people")
    expect(people.locator(".notifications-count")).to_contain_text("5 people get a text")
    expect(people).to_contain_text(re.compile(r"People, each once\s*7"))
    expect(people).to_contain_text(re.compile(r"No phone number\s*1"))
    expect(people).to_contain_text(re.compile(r"Wants no notifications\s*1"))

    page.select_option("#id_service", label="Sandbox")
    page.select_option("#id_template", label="Alarm")
    page.select_option("#id_variables-name-source", label="Each recipient’s: First name")
    page.fill("#id_variables-device-text", "Pump 7")
    text = page.locator("#notifications-text")
    expect(text).to_contain_text("[First name]: Pump 7 fails")
    expect(text).to_contain_text("About 0.25 EUR = 5 texts × 1 segment × 0.05 EUR")
    assert fits(page)
    page.get_by_role("button", name="Go on…").click()

    expect(page.get_by_role("button", name="Send to 5 people")).to_be_visible()
    assert not Notification.objects.exists()
    assert fits(page)
    page.get_by_role("button", name="Send to 5 people").dblclick()

    expect(page.locator(".messagelist")).to_contain_text("It is on its way.")
    notification = Notification.objects.get()
    state = page.locator(".notifications-state")
    expect(state).to_contain_text("Starting…")
    assert fits(page)
    work(broker)
    bar = page.get_by_role("progressbar")
    expect(bar).to_have_attribute("aria-valuenow", "100", timeout=20_000)
    expect(state).to_contain_text("Finished", timeout=20_000)
    expect(state).to_contain_text("7 of 7 people are done (100%)")
    expect(page.locator(".field-finished_at .readonly")).not_to_have_text("-")
    expect(page.locator("#notification-progress [role=status]")).to_contain_text("Finished")
    assert fits(page)

    page.get_by_role("link", name="Total 7").click()
    assert_everybody_is_there_once(page)
    assert fits(page)
    assert sorted(states(notification).values()) == ["no_number", *["sent"] * 5, "suppressed"]
    assert SandboxMessage.objects.count() == 5
    assert not [words for words in stopped if not re.search(FOREIGN, words)], stopped


@windows
def test_it_works_without_scripts(browser, live_server, admin_user, broker, staff, window):
    with browser.new_context(java_script_enabled=False, locale="en-US", viewport=window) as context:
        page = context.new_page()
        page.set_default_timeout(10_000)
        log_in(page, live_server.url, COMPOSE)
        for field, names in {"departments": ["Works", "Hall"], "roles": ["Guards"], "users": ["gus"]}.items():
            for name in names:
                row = page.locator(f".field-{field}")
                row.get_by_label("Search by name").fill(name)
                with page.expect_navigation():
                    row.get_by_role("button", name="Search").click()
                choices = page.locator(f"#id_{field}")
                labels = choices.locator("option").all_inner_texts()
                choices.select_option(label=labels)
        page.select_option("#id_service", label="Sandbox")
        page.select_option("#id_template", label="Alarm")
        page.get_by_role("button", name="Show the variables, the people and the text").click()
        expect(page.locator("#notifications-people")).to_contain_text("5 people get a text")
        page.select_option("#id_variables-name-source", label="Each recipient’s: First name")
        page.fill("#id_variables-device-text", "Pump 7")
        assert fits(page)
        page.get_by_role("button", name="Go on…").click()
        expect(page.locator(".sms-bubble")).to_have_text("[First name]: Pump 7 fails")
        page.get_by_role("button", name="Send to 5 people").click()
        expect(page.locator(".notifications-state")).to_contain_text("Starting…")
        work(broker)
        page.get_by_role("link", name="Load it again").click()
        expect(page.locator(".notifications-state")).to_contain_text("Finished 7 of 7 people are done")
        page.get_by_role("link", name="Total 7").click()
        assert_everybody_is_there_once(page)
        assert fits(page)


def test_a_notification_is_paused_resumed_and_cancelled(page, live_server, admin_user, broker, staff):
    log_in(page, live_server.url, COMPOSE)
    choose(page, "users", "ada", "ben")
    page.select_option("#id_service", label="Sandbox")
    page.select_option("#id_template", label="Alarm")
    page.fill("#id_variables-name-text", "All")
    page.fill("#id_variables-device-text", "Pump 7")
    page.get_by_role("button", name="Go on…").click()
    page.get_by_role("button", name="Send to 2 people").click()
    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".notifications-state")).to_contain_text("Paused")
    page.get_by_role("button", name="Resume").click()
    expect(page.locator(".notifications-state")).to_contain_text("Starting…")
    page.get_by_role("button", name="Cancel…").click()
    page.get_by_role("button", name="Cancel the notification").click()
    expect(page.locator(".notifications-state")).to_contain_text("Cancelled")
    work(broker)
    assert not SandboxMessage.objects.exists()


def test_a_template_is_made_on_the_spot(page, live_server, admin_user, broker, staff):
    stopped = with_policy(page)
    log_in(page, live_server.url, COMPOSE)
    choose(page, "users", "ada")
    with page.expect_popup() as opened:
        page.locator("#add_id_template").click()
    popup = opened.value
    fill_name(popup, "Door")
    popup.fill("#id_text", "Door ${door} is open")
    popup.get_by_role("button", name="Save").click()
    page.fill("#id_variables-door-text", "North")
    with page.expect_popup() as opened:
        page.locator("#add_id_service").click()
    popup = opened.value
    popup.get_by_label("Sandbox SMS").check()
    popup.get_by_role("button", name="Continue").click()
    fill_name(popup, "Second")
    popup.get_by_role("button", name="Save").click()
    expect(page.locator("#id_service option:checked")).to_have_text("Second")
    expect(page.locator("#notifications-text")).to_contain_text("Door North is open")
    expect(page.locator("#id_variables-door-text")).to_have_value("North")
    page.get_by_role("button", name="Go on…").click()
    page.get_by_role("button", name="Send to 1 person").click()
    expect(page.locator(".messagelist")).to_contain_text("It is on its way.")
    assert Notification.objects.get().template == SmsTemplate.objects.get(key="door")
    assert not [words for words in stopped if not re.search(FOREIGN, words)], stopped


@windows
def test_a_preset_follows_its_template_and_begins_a_notification(page, live_server, admin_user, broker, staff, window):
    page.set_viewport_size(window)
    create_template(key="closed", text="Closed on ${day}")
    log_in(page, live_server.url, "/admin/notifications/notificationpreset/add/")
    fill_name(page, "Device alarm")
    choose(page, "departments", "Hall")
    page.select_option("#id_service", label="Sandbox")
    page.select_option("#id_template", label="Closed")
    expect(page.locator("#id_variables-day-source")).to_be_visible()
    page.select_option("#id_template", label="Alarm")
    expect(page.locator("#id_variables-device-source")).to_be_visible()
    expect(page.locator("#id_variables-day-source")).to_have_count(0)
    page.select_option("#id_variables-name-source", label="Each recipient’s: First name")
    expect(page.locator("#notifications-people")).to_contain_text("2 people get a text")
    assert fits(page)
    page.get_by_role("button", name="Save and continue editing").click()
    expect(page.locator(".messagelist")).to_contain_text("was added successfully")
    preset = NotificationPreset.objects.get()
    assert (preset.key, preset.variables, preset.recipient_fields) == ("device-alarm", {}, {"name": "first_name"})

    page.get_by_role("link", name="Compose from this preset").click()
    page.wait_for_url(f"**{COMPOSE}**")
    page.fill("#id_variables-device-text", "Crane 2")
    begin = timezone.localtime() + timedelta(days=1)
    page.fill("#id_send_at", f"{begin:%Y-%m-%dT%H:%M}")
    page.get_by_role("button", name="Go on…").click()
    page.get_by_role("button", name="Schedule for 2 people").click()
    expect(page.locator(".notifications-state")).to_contain_text("It has not begun yet.")
    assert Notification.objects.get().key == "device-alarm"


@windows
def test_people_are_put_into_a_department_and_taken_out(page, live_server, admin_user, staff, window):
    page.set_viewport_size(window)
    works = staff["ada"].departments.get()
    log_in(page, live_server.url, f"/admin/notifications/department/{works.pk}/change/")
    page.get_by_role("link", name="3 members").click()
    choose(page, "users", "gus")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator(".messagelist")).to_contain_text("1 person added.")
    page.get_by_label("Ben (ben)").check()
    page.get_by_role("button", name="Remove those marked").click()
    expect(page.locator(".messagelist")).to_contain_text("1 person removed.")
    assert fits(page)
    assert {user.username for user in works.members.all()} == {"ada", "eve", "gus"}
