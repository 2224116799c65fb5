"""An approval from its configuration to its end, as people see it: a real browser, texts in the sandbox inbox."""

import pytest
from django.conf import settings
from django.test import Client
from playwright.sync_api import expect

from approvals.models import Node, Process, Request
from sms_services.models import SandboxMessage, SandboxSms, SmsTemplate
from tests.browsing import fill_name
from tests.people import a_department, a_person, a_role
from tests.test_browser_walkthrough import PHONE, WIDE
from tests.test_browser_walkthrough import assert_fits_its_window as assert_fits

pytest_plugins = ["tests.services_under_test"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser]

ASKED = "Ann Lee asks for your approval: Travel request"
TOLD = "For your information, from Ann Lee: Travel request"
NUMBERS = {"bob": "+12065550111", "cid": "+12065550112", "dan": "+12065550113", "eve": "+12065550114"}
NUMBERS |= {"fay": "+12065550115"}


@pytest.fixture
def people():
    """Bob and Cid are Finance, Dan and Eve hold a role, Fay gets a copy. Ann asks."""
    people = {name: a_person(name, number, last_name="Lee") for name, number in NUMBERS.items()}
    people["ann"] = a_person("ann", last_name="Lee")
    a_department("Finance", [people["bob"], people["cid"]])
    a_role("Directors", [people["dan"], people["eve"]])
    return people


@pytest.fixture
def log_in(page, live_server):
    """`log_in(user)`: the browser is theirs from now on."""

    def log_in(user):
        client = Client()
        client.force_login(user)
        value = client.cookies[settings.SESSION_COOKIE_NAME].value
        page.context.clear_cookies()
        page.context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": value, "url": live_server.url}])
        return page

    return log_in


def assert_fits_its_window(page):
    page.wait_for_load_state()
    assert_fits(page)


def texts():
    """What has arrived in the sandbox: numbers and words, oldest first."""
    return [(row.phone_number, row.text.reveal()) for row in SandboxMessage.objects.order_by("pk")]


def choose(page, row, field, words, label):
    """Pick somebody in a field that is searched while one types."""
    page.locator(f"#rules-{row} .fieldBox.field-{field} .select2-selection").click()
    page.locator(".select2-search__field").fill(words)
    page.locator(".select2-results__option", has_text=label).first.click()
    expect(page.locator(f"#rules-{row} .fieldBox.field-{field} .select2-selection__rendered")).to_contain_text(label)


def begin_step(page, title, **choices):
    page.get_by_role("link", name="Add a step").click()
    page.wait_for_url("**/admin/approvals/node/add/**")
    page.fill("#id_title", title)
    for field, value in choices.items():
        page.select_option(f"#id_{field}", value)


def save(page):
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".messagelist .success")).to_contain_text("added")


def add_service(page):
    """A sandbox through the "+" beside the field."""
    with page.expect_popup() as opened:
        page.locator("#add_id_sms_service").click()
    popup = opened.value
    popup.get_by_label("Sandbox SMS", exact=True).check()
    popup.get_by_role("button", name="Continue").click()
    fill_name(popup, "Sandbox")
    with popup.expect_event("close"):
        popup.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("#id_sms_service option:checked")).to_have_text("Sandbox")


def add_template(page, name, purpose, text):
    with page.expect_popup() as opened:
        page.locator("#add_id_sms_template").click()
    popup = opened.value
    fill_name(popup, name)
    popup.select_option("#id_purpose", purpose)
    popup.fill("#id_text", text)
    with popup.expect_event("close"):
        popup.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("#id_sms_template option:checked")).to_have_text(name)


def open_from_inbox(page, live_server, title):
    page.goto(f"{live_server.url}/approvals/")
    assert_fits_its_window(page)
    page.get_by_role("link", name=title).click()
    expect(page.locator("h1")).to_have_text(title)
    assert_fits_its_window(page)


def approve(page, live_server, title, comment=""):
    open_from_inbox(page, live_server, title)
    if comment:
        page.get_by_label("Comment").first.fill(comment)
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_role("status")).to_contain_text("You have approved it.")
    assert_fits_its_window(page)


@pytest.mark.parametrize("window", [WIDE, PHONE], ids=["wide", "phone"])
def test_a_process_is_configured_and_everybody_is_texted_at_their_moment(
    page, live_server, log_in, people, admin_user, eager, window
):
    page.set_viewport_size(window)
    log_in(admin_user)
    page.goto(f"{live_server.url}/admin/approvals/process/add/")
    fill_name(page, "Travel request", field="title")
    save(page)
    assert_fits_its_window(page)

    begin_step(page, "Finance looks at it")
    expect(page.locator("#rules-0 .fieldBox.field-department .select2")).to_be_hidden()
    page.select_option("#id_rules-0-source", "department")
    choose(page, 0, "department", "fin", "Finance")
    add_service(page)
    add_template(page, "Approval", "approval", "${userNick} asks for your approval: ${processTitle}")
    expect(page.locator("#approvals-text")).to_contain_text("Alex asks for your approval: Travel request")
    assert_fits_its_window(page)
    save(page)

    begin_step(page, "All directors", mode="all")
    page.select_option("#id_rules-0-source", "role")
    choose(page, 0, "group", "dir", "Directors")
    page.select_option("#id_sms_service", label="Sandbox")
    page.select_option("#id_sms_template", label="Approval")
    expect(page.locator("#approvals-text")).to_contain_text("Alex asks for your approval: Travel request")
    save(page)

    begin_step(page, "Travel desk", kind="cc")
    expect(page.locator("#id_mode")).to_be_hidden()
    expect(page.locator("#id_nobody_found")).to_be_hidden()
    page.select_option("#id_rules-0-source", "user")
    choose(page, 0, "user", "fay", "Fay Lee (fay)")
    page.select_option("#id_sms_service", label="Sandbox")
    add_template(page, "Copy", "cc", "For your information, from ${userNick}: ${processTitle}")
    expect(page.locator("#approvals-text")).to_contain_text("For your information, from Alex: Travel request")
    save(page)
    expect(page.locator("svg.approvals-picture")).to_contain_text("All directors")
    assert_fits_its_window(page)
    assert [node.key for node in Node.objects.all()] == ["finance-looks-at-it", "all-directors", "travel-desk"]

    log_in(people["ann"])
    page.goto(f"{live_server.url}/approvals/")
    page.get_by_role("link", name="New request").click()
    page.get_by_role("link", name="Travel request").click()
    expect(page.locator("h1")).to_have_text("Travel request")
    assert_fits_its_window(page)
    page.fill("#id_title", "Conference in Rome")
    page.fill("#id_reason", "Three days in May")
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_role("status")).to_contain_text("Your request was submitted.")
    first = [(NUMBERS[name], ASKED) for name in ("bob", "cid")]
    assert texts() == first

    log_in(people["bob"])
    approve(page, live_server, "Conference in Rome", "Within the budget")
    second = [(NUMBERS[name], ASKED) for name in ("dan", "eve")]
    assert texts() == first + second
    log_in(people["cid"])
    page.goto(f"{live_server.url}/approvals/")
    expect(page.get_by_text("Nothing waits for you.")).to_be_visible()

    log_in(people["dan"])
    approve(page, live_server, "Conference in Rome")
    assert texts() == first + second
    log_in(people["eve"])
    approve(page, live_server, "Conference in Rome")
    assert texts() == [*first, *second, (NUMBERS["fay"], TOLD)]
    assert Request.objects.get().status == "approved"

    log_in(people["fay"])
    page.goto(f"{live_server.url}/approvals/copied/")
    page.get_by_role("link", name="Conference in Rome").click()
    expect(page.locator(".approvals-top")).to_contain_text("Approved")
    expect(page.locator(".approvals-way")).to_contain_text("Within the budget")

    log_in(admin_user)
    for name, number in NUMBERS.items():
        page.goto(f"{live_server.url}/sms/sandbox/")
        expect(page.locator(f"#phone-{number[1:]}")).to_contain_text(TOLD if name == "fay" else ASKED)
    assert SmsTemplate.objects.count() == 2


@pytest.mark.parametrize("window", [WIDE, PHONE], ids=["wide", "phone"])
def test_a_step_that_is_not_saved_yet_sends_a_test_of_what_is_chosen(page, live_server, log_in, admin_user, window):
    process = Process.objects.create(key="travel", title="Travel request")
    SandboxSms.objects.create(key="sandbox", name="Sandbox")
    for name in ("First", "Second"):
        text = name + ": ${processTitle} of ${userNick}"
        SmsTemplate.objects.create(key=name.lower(), name=name, purpose="approval", text=text)
    page.set_viewport_size(window)
    log_in(admin_user)
    page.goto(f"{live_server.url}/admin/approvals/node/add/?process={process.pk}")
    page.fill("#id_title", "Finance looks at it")
    link = page.locator("#approvals-text").get_by_role("link", name="Send test SMS")
    page.select_option("#id_sms_service", label="Sandbox")
    expect(link).to_have_count(0)
    for name in ("First", "Second"):
        page.select_option("#id_sms_template", label=name)
        expect(page.locator("#approvals-text")).to_contain_text(f"{name}: Travel request of Alex")
    assert_fits_its_window(page)
    with page.expect_popup() as opened:
        link.click()
    test = opened.value
    expect(test.locator(".sms-wording")).to_have_text("Second: ${processTitle} of ${userNick}")
    assert_fits_its_window(test)
    assert texts() == []
    test.fill("#id_phone_number", "+1 206 555 0100")
    test.get_by_role("button", name="Send").click()
    expect(test.get_by_role("status")).to_contain_text("Outcome: Sent")
    assert_fits_its_window(test)
    assert texts() == [("+12065550100", "Second: Travel request of admin")]
    expect(page.locator("#id_title")).to_have_value("Finance looks at it")
    assert not Node.objects.exists()


def test_a_slow_answer_takes_no_template_away_that_was_made_meanwhile(page, live_server, log_in, admin_user):
    process = Process.objects.create(key="travel", title="Travel request")
    SandboxSms.objects.create(key="sandbox", name="Sandbox")
    held, answers = [], []

    def hold_the_first(route):
        asks = route.request.method == "POST" and "_refresh" in (route.request.post_data or "")
        if asks and not held:
            held.append(route)  # before its answer is there: the next one may come meanwhile
            answers.append(route.fetch())
        else:
            route.continue_()

    log_in(admin_user)
    page.goto(f"{live_server.url}/admin/approvals/process/{process.pk}/change/")
    page.route("**/admin/approvals/node/add/**", hold_the_first)
    begin_step(page, "Finance looks at it")
    with page.expect_request(lambda request: request.method == "POST"):
        page.select_option("#id_sms_service", label="Sandbox")
    add_template(page, "Approval", "approval", "${userNick} asks for your approval: ${processTitle}")
    while not answers:
        page.wait_for_timeout(50)
    held[0].fulfill(response=answers[0])
    expect(page.locator("#approvals-text")).to_contain_text("asks for your approval: Travel request")
    expect(page.locator("#id_sms_template option:checked")).to_have_text("Approval")


def test_two_who_have_the_page_open_and_click_are_told_who_was_first(page, live_server, log_in, people, eager):
    from approvals.api import approve as approve_elsewhere
    from approvals.api import submit
    from tests.approval_processes import a_process, step, task_of

    row = submit(a_process(step(people["bob"], people["cid"])), people["ann"], title="Rome")
    log_in(people["bob"])
    open_from_inbox(page, live_server, "Rome")
    approve_elsewhere(task_of(row, people["cid"]), people["cid"])
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_role("alert")).to_contain_text("Already approved by Cid Lee.")


@pytest.mark.parametrize("window", [WIDE, PHONE], ids=["wide", "phone"])
def test_the_pages_work_without_javascript(browser, live_server, people, window):
    from approvals.api import submit
    from tests.approval_processes import a_process, step

    process = a_process(step(people["bob"], reject_comment="required"), step(people["dan"]))
    for title in ("Rome", "Paris", "Oslo"):
        submit(process, people["ann"], title=title)
    client = Client()
    client.force_login(people["bob"])
    cookie = {"name": settings.SESSION_COOKIE_NAME, "value": client.cookies[settings.SESSION_COOKIE_NAME].value}
    with browser.new_context(java_script_enabled=False, locale="en-US", viewport=window) as context:
        context.add_cookies([{**cookie, "url": live_server.url}])
        page = context.new_page()
        page.goto(f"{live_server.url}/approvals/")
        page.get_by_label("Mark “Rome”").check()
        page.get_by_role("button", name="Approve what is marked").click()
        expect(page.get_by_role("status")).to_contain_text("1 request was approved.")
        page.get_by_role("link", name="Paris").click()
        page.get_by_role("button", name="Reject").click()
        expect(page.get_by_role("alert")).to_contain_text("Write a comment")
        page.get_by_text("Transfer", exact=True).first.click()
        page.get_by_placeholder("A person's name").fill("eve")
        page.get_by_role("button", name="Search").click()
        page.get_by_label("Eve Lee (eve)").check()
        page.get_by_role("button", name="Transfer").click()
        expect(page.get_by_role("status")).to_contain_text("It was transferred.")
