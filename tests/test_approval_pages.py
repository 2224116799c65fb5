"""The pages of approvals: the inbox, a request's page, and what their buttons do."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from uuid import uuid4

import pytest
import time_machine
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.db.models import ProtectedError
from django.shortcuts import resolve_url
from django.test import Client
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.timezone import localtime

from approvals.api import approve, send_back, submit, withdraw
from approvals.models import Event, Request, Task
from login_mobile.models import MobileLogin
from sms_services.models import SandboxSms, SmsTemplate
from tests.approval_processes import a_process, step, task_of
from tests.people import a_person, a_role

pytestmark = pytest.mark.django_db

LISTS = ["todo", "done", "started", "copied"]


@pytest.fixture
def people():
    return {name: a_person(name) for name in ("ann", "bob", "cid", "dan", "eve")}


@pytest.fixture
def as_user():
    """`as_user(user)` is a browser in which they are logged in."""

    def log_in(user):
        client = Client(enforce_csrf_checks=False)
        client.force_login(user)
        return client

    return log_in


def page(client, row, **query):
    return client.get(reverse("approvals:request", args=[row.pk]), query)


def act(client, row, action, *, user=None, follow=True, **data):
    """Click a button of a request's page."""
    if user is not None:
        task = Task.objects.filter(request=row, user=user).latest("pk")
        return client.post(reverse("approvals:act_on_task", args=[task.pk, action]), data, follow=follow)
    return client.post(reverse("approvals:act_on_request", args=[row.pk, action]), data, follow=follow)


def buttons(response):
    """The actions that a page offers."""
    return set(re.findall(r'action="/approvals/(?:tasks|requests)/\d+/(\w+)/"', response.text))


def told(response):
    return [str(message) for message in response.context["messages"]]


def test_pages_need_a_login(client, people):
    row = submit(a_process(step(people["bob"])), people["ann"])
    names = [reverse(f"approvals:{name}") for name in (*LISTS, "start_list", "approve_selected")]
    names += [reverse("approvals:request", args=[row.pk]), reverse("approvals:start", args=["travel"])]
    names += [reverse("approvals:act_on_request", args=[row.pk, "withdraw"])]
    for url in names:
        for response in (client.get(url), client.post(url)):
            if response.status_code != 405:
                assert response.status_code == 302, url
                assert response.url.startswith(f"{resolve_url(settings.LOGIN_URL)}?next=")
    assert Request.objects.get().status == "running"


def test_there_are_ways_out_of_the_pages(people, as_user):
    client = as_user(people["bob"])
    rows = [submit(a_process(step(people["bob"])), people["ann"])]
    for response in (client.get(reverse("approvals:todo")), page(client, rows[0])):
        for url in ("login_mobile:account", "login_mobile:logout", "set_language"):
            assert f'="{reverse(url)}"' in response.text
        assert reverse("admin:index") not in response.text
    people["bob"].is_staff = True
    people["bob"].save()
    assert f'href="{reverse("admin:index")}"' in client.get(reverse("approvals:todo")).text
    client.post(reverse("login_mobile:logout"))
    assert client.get(reverse("approvals:todo")).status_code == 302


@pytest.mark.parametrize(("is_staff", "found"), [(False, ()), (True, ("admin:index", "admin:logout"))])
def test_only_ways_that_the_project_has_are_offered(people, as_user, settings, is_staff, found):
    settings.ROOT_URLCONF = "tests.urls_with_inbox_alone"
    people["bob"].is_staff = is_staff
    people["bob"].save()
    response = as_user(people["bob"]).get(reverse("approvals:todo"))
    menu = response.text.partition("<details")[2].partition("</details>")[0]
    assert re.findall(r'(?:href|action)="(.*?)"', menu) == [reverse(name) for name in found]


@pytest.mark.parametrize("is_active", [True, False, None], ids=["login", "switched off", "none is set up"])
def test_who_has_a_password_and_no_number_finds_the_way_in(client, people, is_active):
    if is_active is not None:
        service = SandboxSms.objects.create(key="sandbox", name="Sandbox")
        template = SmsTemplate.objects.create(key="code", name="Code", text="${code}", purpose="otp")
        fields = {"sms_service": service, "template": template, "is_active": is_active}
        MobileLogin.objects.create(key="main", name="Main", is_default=True, **fields)
    people["bob"].is_staff = True
    people["bob"].set_password("staff-password")
    people["bob"].save()
    wanted = f"{reverse('approvals:done')}?q=Rome&page=2"
    shown = client.get(wanted, follow=True)
    assert shown.redirect_chain[0][0].startswith(reverse("login_mobile:login"))
    way = unescape(re.search(rf'href="({reverse("admin:login")}.*?)"', shown.text)[1])
    data = {"username": "bob", "password": "staff-password", "next": wanted}
    assert client.get(way).context["next"] == data["next"]
    assert client.post(way, data).url == data["next"]


def test_each_list_shows_its_own(people, as_user):
    process = a_process(step(people["bob"]), step(people["cid"], kind="cc"), step(people["dan"]))
    row = submit(process, people["ann"], title="To Rome")
    approve(task_of(row, people["bob"]), people["bob"])
    expected = {"ann": ["started"], "bob": ["done"], "cid": ["copied"], "dan": ["todo"], "eve": []}
    for name, lists in expected.items():
        client = as_user(people[name])
        for tab in LISTS:
            response = client.get(reverse(f"approvals:{tab}"))
            assert ("To Rome" in response.text) == (tab in lists), (name, tab)
            counts = response.context["counts"]
            assert [each for each in LISTS if getattr(counts, each)] == lists


def test_what_was_returned_to_its_initiator_is_something_to_do(people, as_user):
    process = a_process(step(people["bob"]))
    rows = [submit(process, people["ann"], title=title) for title in ("To Rome", "To Oslo")]
    send_back(task_of(rows[0], people["bob"]), people["bob"])
    client, url = as_user(people["ann"]), reverse("approvals:todo")
    shown = client.get(url)
    assert [row.title for row in shown.context["returned"]] == ["To Rome"]
    assert reverse("approvals:request", args=[rows[0].pk]) in shown.text
    assert shown.context["counts"].todo == 1
    assert "Nothing waits for you" not in shown.text
    assert not client.get(url, {"q": "oslo"}).context["returned"]
    withdraw(rows[0], people["ann"])
    shown = client.get(url)
    assert shown.context["counts"].todo == 0
    assert "Nothing waits for you" in shown.text


def test_somebody_elses_request_does_not_exist(people, as_user):
    row = submit(a_process(step(people["bob"])), people["ann"])
    client = as_user(people["eve"])
    task = task_of(row, people["bob"])
    assert page(client, row).status_code == 404
    for action in ("withdraw", "remind", "resume", "resubmit", "unknown"):
        assert act(client, row, action).status_code == 404
    for action in ("approve", "reject", "return", "transfer", "unknown"):
        assert client.post(reverse("approvals:act_on_task", args=[task.pk, action])).status_code == 404
    client.post(reverse("approvals:approve_selected"), {"task": [task.pk]})
    assert list(Event.objects.values_list("kind", flat=True)) == ["submitted", "reached"]


def test_what_somebody_handled_for_another_stays_theirs_to_open(people, as_user):
    row = submit(a_process(step(people["bob"])), people["ann"], title="To Rome")
    eve = people["eve"]
    eve.user_permissions.add(Permission.objects.get(codename="manage_request"))
    act(as_user(eve), row, "transfer", user=people["bob"], to=people["cid"].pk)
    eve.user_permissions.clear()
    client = as_user(eve)
    assert "To Rome" in client.get(reverse("approvals:done")).text
    response = page(client, row)
    assert response.status_code == 200
    assert buttons(response) == set()
    assert page(as_user(people["dan"]), row).status_code == 404


def test_those_who_may_view_all_requests_see_them_without_buttons(people, as_user):
    row = submit(a_process(step(people["bob"])), people["ann"])
    people["eve"].user_permissions.add(Permission.objects.get(codename="view_request"))
    response = page(as_user(people["eve"]), row)
    assert response.status_code == 200
    assert buttons(response) == set()


def test_opening_links_changes_nothing(people, as_user):
    row = submit(a_process(step(people["bob"])), people["ann"])
    task = task_of(row, people["bob"])
    client = as_user(people["bob"])
    for action in ("approve", "reject", "return", "transfer"):
        response = client.get(reverse("approvals:act_on_task", args=[task.pk, action]))
        assert response.url == reverse("approvals:request", args=[row.pk])
    assert client.get(reverse("approvals:approve_selected")).url == reverse("approvals:todo")
    client = as_user(people["ann"])
    for action in ("withdraw", "remind", "resume", "resubmit"):
        assert client.get(reverse("approvals:act_on_request", args=[row.pk, action])).status_code == 302
    assert Event.objects.count() == 2


def test_posts_need_the_token_of_the_form(people):
    row = submit(a_process(step(people["bob"])), people["ann"])
    client = Client(enforce_csrf_checks=True)
    client.force_login(people["bob"])
    assert act(client, row, "approve", user=people["bob"]).status_code == 403


def test_a_page_has_exactly_the_buttons_that_apply(people, as_user):
    process = a_process(
        step(people["bob"]),
        step(people["cid"], may_return=False, may_transfer=False),
        withdraw_policy="until_first_approval",
    )
    row = submit(process, people["ann"])
    assert buttons(page(as_user(people["ann"]), row)) == {"remind", "withdraw"}
    bob = as_user(people["bob"])
    assert buttons(page(bob, row)) == {"approve", "reject", "return"}
    assert "transfer" in buttons(page(bob, row, find="dan"))
    act(bob, row, "approve", user=people["bob"])
    assert buttons(page(bob, row)) == set()
    assert buttons(page(as_user(people["cid"]), row)) == {"approve", "reject"}
    assert buttons(page(as_user(people["cid"]), row, find="dan")) == {"approve", "reject"}
    assert buttons(page(as_user(people["ann"]), row)) == {"remind"}
    act(as_user(people["cid"]), row, "reject", user=people["cid"])
    row.refresh_from_db()
    assert row.status == "rejected"
    for name in ("ann", "bob", "cid"):
        assert buttons(page(as_user(people[name]), row)) == set()


def test_a_returned_request_is_submitted_again(people, as_user):
    row = submit(a_process(step(people["bob"])), people["ann"], title="Rome", data={"reason": "Old", "other": 1})
    act(as_user(people["bob"]), row, "return", user=people["bob"], comment="Which hotel?")
    client = as_user(people["ann"])
    response = page(client, row)
    assert buttons(response) == {"resubmit", "withdraw"}
    assert "Which hotel?" in response.text
    response = act(client, row, "resubmit", title="")
    assert response.status_code == 422
    assert Request.objects.get().status == "returned"
    response = act(client, row, "resubmit", title="Rome, by train", reason="New", comment="As you asked")
    assert told(response) == ["You have submitted it again."]
    row = Request.objects.get()
    assert (row.title, row.data, row.status) == ("Rome, by train", {"reason": "New", "other": 1}, "running")
    assert task_of(row, people["bob"])
    shown = page(as_user(people["bob"]), row).text.partition("How far it is")[2].partition("Everything that")[0]
    for words in ("Bob returned it to its initiator.", "Which hotel?", "Ann submitted it again.", "As you asked"):
        assert words in shown


def test_a_request_is_returned_to_an_earlier_step(people, as_user):
    row = submit(a_process(step(people["bob"]), step(people["cid"])), people["ann"])
    approve(task_of(row, people["bob"]), people["bob"])
    response = act(as_user(people["cid"]), row, "return", user=people["cid"], to="step-1", comment="Look again")
    assert told(response) == ["You have returned it."]
    assert task_of(row, people["bob"])
    assert [station.state for station in response.context["stations"]] == ["current", "ahead"]
    assert "Look again" in response.text.partition("How far it is")[2].partition("Everything that")[0]
    assert response.context["history"][-2].words == "Cid returned it to “Step 1”."


def test_a_task_is_transferred_to_somebody_who_was_searched_for(people, as_user):
    row = submit(a_process(step(people["bob"])), people["ann"])
    client = as_user(people["bob"])
    assert [name for _pk, name in page(client, row, find="da").context["found"]] == ["Dan (dan)"]
    assert "Nobody was found" in page(client, row, find="zz").text
    response = act(client, row, "transfer", user=people["bob"], to="")
    assert "Choose to whom" in response.context["failed"].words
    response = act(client, row, "transfer", user=people["bob"], to=people["dan"].pk, comment="Yours")
    assert told(response) == ["It was transferred."]
    assert task_of(row, people["dan"])


def test_a_transfer_that_is_refused_keeps_what_was_typed(people, as_user):
    row = submit(a_process(step(people["bob"], people["dan"])), people["ann"])
    client = as_user(people["bob"])
    assert '<input type="hidden" name="find" value="da">' in page(client, row, find="da").text
    response = act(
        client, row, "transfer", user=people["bob"], to=people["dan"].pk, find="a", comment="My words, long and many"
    )
    assert "already" in response.context["failed"].words
    assert "My words, long and many" in response.text
    assert re.findall(r'name="to" value="(\d+)" required checked', response.text) == [str(people["dan"].pk)]


def test_what_was_typed_for_a_transfer_that_is_refused_stays_in_the_form_of_its_task(people, as_user):
    row = submit(a_process(step(people["bob"], people["cid"], people["dan"])), people["ann"])
    root = get_user_model().objects.create_superuser("root")
    to = people["dan"].pk
    response = act(as_user(root), row, "transfer", user=people["bob"], to=to, find="a", comment="My words")
    assert "already" in response.context["failed"].words
    forms = re.findall(r'action="/approvals/tasks/(\d+)/transfer/">(.*?)</form>', response.text, re.DOTALL)
    assert len(forms) == 3
    kept = {int(pk) for pk, form in forms if "My words" in form or " checked" in form}
    assert kept == {task_of(row, people["bob"]).pk}


def test_only_those_who_can_transfer_search_for_people(people, as_user):
    row = submit(a_process(step(people["bob"])), people["ann"])
    assert not page(as_user(people["ann"]), row, find="da").context["found"]


@pytest.mark.parametrize("other", ["approve", "reject"])
def test_whoever_clicks_second_is_told_who_was_first(people, as_user, other):
    row = submit(a_process(step(people["bob"], people["cid"])), people["ann"])
    assert told(act(as_user(people["bob"]), row, "approve", user=people["bob"])) == ["You have approved it."]
    assert told(act(as_user(people["cid"]), row, other, user=people["cid"])) == ["Already approved by Bob."]
    assert told(act(as_user(people["bob"]), row, other, user=people["bob"])) == ["Already approved by Bob."]
    assert Event.objects.filter(kind="approved").count() == 1


def test_whoever_comes_too_late_keeps_the_words_that_they_typed(people, as_user):
    row = submit(a_process(step(people["bob"], people["cid"])), people["ann"])
    act(as_user(people["bob"]), row, "approve", user=people["bob"], comment="Fine")
    response = act(as_user(people["cid"]), row, "reject", user=people["cid"], comment="Long words\nof <mine>")
    assert response.status_code == 409
    assert "Already approved by Bob." in response.text
    assert "Long words<br>of &lt;mine&gt;" in response.text.partition("Your comment was not saved")[2]
    response = act(as_user(people["bob"]), row, "approve", user=people["bob"], comment="Fine")
    assert told(response) == ["Already approved by Bob."]
    assert "Your comment was not saved" not in response.text, "the first click has saved it"


def test_a_comment_that_is_needed_is_asked_for_and_what_was_typed_is_kept(people, as_user):
    row = submit(a_process(step(people["bob"], approve_comment="none", reject_comment="required")), people["ann"])
    client = as_user(people["bob"])
    shown = page(client, row).text
    assert "A rejection needs a comment." in shown
    assert "Leave it empty when you approve." in shown
    response = act(client, row, "reject", user=people["bob"])
    assert response.status_code == 422
    assert "required" in response.context["failed"].words
    response = act(client, row, "approve", user=people["bob"], comment="Long words of mine")
    assert response.status_code == 422
    assert "Long words of mine" in response.text
    assert Request.objects.get().status == "running"
    act(client, row, "reject", user=people["bob"], comment="Too dear")
    assert Request.objects.get().status == "rejected"
    assert "Too dear" in page(as_user(people["ann"]), row).text


def test_comments_are_shown_as_they_are_and_not_as_html(people, as_user):
    row = submit(a_process(step(people["bob"])), people["ann"], title="<b>", data={"reason": "<script>1</script>"})
    act(as_user(people["bob"]), row, "approve", user=people["bob"], comment="<img src=x>\nSecond line")
    shown = page(as_user(people["ann"]), row).text
    assert "&lt;img src=x&gt;<br>Second line" in shown
    assert "<script>1" not in shown
    assert "<b>" not in shown


def test_a_reminder_that_comes_too_soon_says_when_the_next_is_possible(people, as_user):
    row = submit(a_process(step(people["bob"]), remind_interval=timedelta(hours=2)), people["ann"])
    client = as_user(people["ann"])
    assert told(act(client, row, "remind")) == ["Those who have not decided yet were reminded."]
    response = act(client, row, "remind")
    assert response.status_code == 422
    assert "The next one is possible from" in response.context["failed"].words
    assert "Ann reminded Bob." in response.text


def test_while_a_reminder_is_too_soon_the_page_says_so_instead_of_offering_it(people, as_user):
    row = submit(a_process(step(people["bob"])), people["ann"])
    client = as_user(people["ann"])
    assert "remind" in buttons(page(client, row))
    shown = act(client, row, "remind")
    assert "remind" not in buttons(shown)
    assert "The next one is possible from" in shown.text


@pytest.mark.parametrize("also", [[], ["view_request"]])
def test_an_administrator_resumes_a_paused_request(people, as_user, also):
    row = submit(a_process(step(a_role("Empty"))), people["ann"])
    assert "an administrator has to resume it" in page(as_user(people["ann"]), row).text
    people["eve"].user_permissions.add(*Permission.objects.filter(codename__in=[*also, "manage_request"]))
    client = as_user(people["eve"])
    (still,) = told(act(client, row, "resume"))
    assert still.startswith("It is paused at “")
    response = page(client, row, find="bob")
    assert {"resume", "withdraw"} <= buttons(response)
    assert told(act(client, row, "resume", users=[people["bob"].pk])) == ["It goes on."]
    assert task_of(row, people["bob"])
    assert "transfer" in buttons(page(client, row, find="dan"))


def test_what_is_paused_is_seen_where_it_is_looked_for(people, as_user, admin_client):
    row = submit(a_process(step(a_role("Empty"))), people["ann"], title="A pump")
    assert "Paused" in page(as_user(people["ann"]), row).text
    assert "Paused" in as_user(people["ann"]).get(reverse("approvals:started")).text
    assert "Paused" in admin_client.get(reverse("admin:approvals_request_changelist")).text
    assert "Paused" in admin_client.get(reverse("admin:approvals_request_change", args=[row.pk])).text
    todo = reverse("approvals:todo")
    assert "A pump" not in as_user(people["bob"]).get(todo).text
    people["eve"].user_permissions.add(Permission.objects.get(codename="manage_request"))
    inbox = as_user(people["eve"]).get(todo)
    assert [found.pk for found in inbox.context["paused"]] == [row.pk]
    assert "from Ann" in inbox.text
    assert inbox.context["counts"].todo == 1
    act(as_user(people["eve"]), row, "resume", users=[people["bob"].pk])
    assert not as_user(people["eve"]).get(todo).context["paused"]
    assert "Paused" not in page(as_user(people["ann"]), row).text


def test_whoever_resumes_twice_asks_nobody_at_another_step(people, as_user):
    steps = (step(people["bob"]), step(a_role("Empty"), repeat_policy="pass"), step(a_role("Void")))
    row = submit(a_process(*steps), people["ann"])
    approve(task_of(row, people["bob"]), people["bob"])
    people["eve"].user_permissions.add(Permission.objects.get(codename="manage_request"))
    client = as_user(people["eve"])
    form = {"visit": page(client, row).context["options"].visit_id, "users": [people["bob"].pk]}
    assert told(act(client, row, "resume", **form))[0].startswith("It is paused at “")
    act(client, row, "resume", **form)
    assert not row.tasks.filter(status="pending").exists()
    assert row.visits.get(status="paused").position == 2


def test_of_many_that_are_paused_the_newest_are_shown_and_the_others_found(people, as_user, monkeypatch):
    monkeypatch.setattr("approvals.views.lists.MOST_ABOVE", 2)
    process = a_process(step(a_role("Empty")))
    rows = [submit(process, people["ann"], title=f"Trip {number}") for number in range(3)]
    people["eve"].user_permissions.add(Permission.objects.get(codename="manage_request"))
    client = as_user(people["eve"])
    shown = client.get(reverse("approvals:todo")).text
    assert [row.title in shown for row in rows] == [False, True, True]
    assert "These are the newest 2. Search for others." in shown
    assert "Trip 0" in client.get(reverse("approvals:todo"), {"q": "Trip 0"}).text


def test_marked_requests_are_approved_each_for_itself(people, as_user):
    easy = a_process(step(people["bob"]))
    hard = a_process(step(people["bob"], approve_comment="required"), key="hard")
    shared = a_process(step(people["bob"], people["cid"]), key="shared")
    rows = [submit(process, people["ann"], title=process.key) for process in (easy, hard, shared, easy)]
    client = as_user(people["bob"])
    given = [task_of(row, people["bob"]).pk for row in rows]
    approve(task_of(rows[2], people["cid"]), people["cid"])
    other = submit(a_process(step(people["dan"]), key="other"), people["ann"])
    url = reverse("approvals:approve_selected")
    assert told(client.post(url, follow=True)) == ["Mark the requests that you want to approve."]
    response = client.post(url, {"task": [*given, task_of(other, people["dan"]).pk, "x", "9" * 30]}, follow=True)
    assert told(response) == [
        "“hard”: Write a comment: it is required here.",
        "“shared”: Already approved by Cid.",
        "2 requests were approved.",
    ]
    assert [Request.objects.get(pk=row.pk).status for row in rows] == ["approved", "running", "approved", "approved"]
    response = client.post(url, {"task": given[1], "comment": "Good"}, follow=True)
    assert told(response) == ["1 request was approved."]


def test_whoever_approves_marked_requests_comes_back_to_the_same_list(people, as_user):
    row = submit(a_process(step(people["bob"])), people["ann"], title="Rome & Pisa")
    client = as_user(people["bob"])
    shown = client.get(reverse("approvals:todo"), {"q": "Rome &", "before": 10**9})
    (action,) = re.findall(r'action="(/approvals/approve/[^"]*)"', shown.text)
    assert client.get(unescape(action)).url == f"{reverse('approvals:todo')}?q=Rome+%26&before=1000000000"
    response = client.post(unescape(action), {"task": task_of(row, people["bob"]).pk})
    assert response.url == f"{reverse('approvals:todo')}?q=Rome+%26&before=1000000000"


def test_a_request_is_begun_without_code(people, as_user):
    a_process(step(people["bob"]), description="Say where to.")
    a_process(step(people["bob"]), key="coded", title="Coded", has_start_page=False)
    a_process(step(people["bob"]), key="old", title="Old", is_active=False)
    a_process(key="empty", title="Empty")
    client = as_user(people["ann"])
    listed = client.get(reverse("approvals:start_list"))
    assert [process.key for process in listed.context["processes"]] == ["travel"]
    for key in ("coded", "old", "empty", "none"):
        assert client.get(reverse("approvals:start", args=[key])).status_code == 404
        assert client.post(reverse("approvals:start", args=[key]), {"title": "x"}).status_code == 404
    url = reverse("approvals:start", args=["travel"])
    form = client.get(url).context["form"]
    data = {"title": "To Rome", "reason": "A fair\nin May", "key": str(form["key"].value())}
    assert client.post(url, {**data, "title": ""}).status_code == 200
    response = client.post(url, data, follow=True)
    row = Request.objects.get()
    assert response.redirect_chain[0][0] == reverse("approvals:request", args=[row.pk])
    assert (row.title, row.initiator) == ("To Rome", people["ann"])
    assert row.data["reason"].splitlines() == ["A fair", "in May"]
    assert "A fair" in response.text
    again = client.post(url, data, follow=True)
    assert told(again)[-1] == "This form was sent before, and no second request was made."
    assert Request.objects.count() == 1
    as_user(people["eve"]).post(url, data)
    assert Request.objects.count() == 2, "a form is sent once by each person"
    assert "This field is required." in client.post(url, {**data, "key": ""}).text, "of a field that nobody sees"


def test_in_some_processes_only_some_may_begin(people, as_user):
    a_process(step(people["bob"]), start_role=a_role("Sales", [people["ann"]]))
    url = reverse("approvals:start", args=["travel"])
    assert [name for name, user in people.items() if as_user(user).get(url).status_code == 200] == ["ann"]
    assert not as_user(people["eve"]).get(reverse("approvals:start_list")).context["processes"]
    assert as_user(people["eve"]).post(url, {"title": "Rome", "key": uuid4()}).status_code == 404
    as_user(people["ann"]).post(url, {"title": "Rome", "key": uuid4()})
    assert Request.objects.get().initiator == people["ann"]
    with pytest.raises(ProtectedError):
        Group.objects.get().delete()  # or everybody might


def test_a_superuser_may_begin_what_only_some_may(people, as_user, monkeypatch):
    a_process(step(people["bob"]), start_role=a_role("Sales", [people["ann"]]))
    root = get_user_model().objects.create_superuser("root")
    url = reverse("approvals:start", args=["travel"])
    for roles in (True, False):
        monkeypatch.setattr("approvals.starting.has_roles", lambda roles=roles: roles)
        assert as_user(root).get(url).status_code == 200
        assert as_user(people["ann"]).get(url).status_code == (200 if roles else 404)


def test_nobody_begins_any_number_of_requests_by_hand(people, as_user, settings):
    settings.APPROVALS = {"STARTS_PER_HOUR": 2}
    process = a_process(step(people["bob"]))
    submit(process, people["ann"])  # by code
    client = as_user(people["ann"])
    url = reverse("approvals:start", args=["travel"])
    with time_machine.travel(datetime(2026, 3, 1, 10, 0, tzinfo=UTC), tick=False) as clock:
        keys = [uuid4() for _ in range(3)]
        for key in keys[:2]:
            assert client.post(url, {"title": "Rome", "key": key}).status_code == 302
            clock.shift(timedelta(minutes=5))
        refused = client.post(url, {"title": "Rome, by train", "reason": "So slow", "key": keys[2]})
        assert "You have begun 2 requests within an hour. The next one is possible from" in refused.text
        assert date_format(localtime(datetime(2026, 3, 1, 11, 0, tzinfo=UTC)), "DATETIME_FORMAT") in refused.text
        assert "So slow" in refused.text
        assert client.post(url, {"title": "Rome", "key": keys[1]}).status_code == 302, "the same form again"
        assert Request.objects.count() == 3
        as_user(people["eve"]).post(url, {"title": "Rome", "key": uuid4()})
        clock.move_to(datetime(2026, 3, 1, 11, 0, tzinfo=UTC), tick=False)
        client.force_login(people["ann"])
        assert client.post(url, {"title": "Rome", "key": keys[2]}).status_code == 302
    assert Request.objects.count() == 5


def test_what_is_wrong_with_a_field_is_told_to_those_who_hear_it(people, as_user):
    a_process(step(people["bob"]))
    shown = as_user(people["ann"]).post(reverse("approvals:start", args=["travel"]), {"title": "", "key": uuid4()}).text
    (described,) = re.findall(r'<input[^>]* aria-describedby="([^"]+)"', shown)
    for name in described.split():
        assert f'id="{name}"' in shown
    assert described.endswith("_error")


def test_the_timeline_shows_who_did_what(people, as_user):
    process = a_process(
        step(people["bob"], people["cid"], title="Both", mode="all"),
        step(people["dan"], title="Told", kind="cc"),
        step(people["eve"], title="Last"),
    )
    row = submit(process, people["ann"])
    approve(task_of(row, people["bob"]), people["bob"], "Fine")
    stations = page(as_user(people["ann"]), row).context["stations"]
    assert [station.state for station in stations] == ["current", "ahead", "ahead"]
    assert [(person.name, person.words, person.comment) for person in stations[0].people] == [
        ("Bob", "Approved", "Fine"),
        ("Cid", "Has not decided yet", ""),
    ]
    assert stations[0].words == "Everybody has to approve"
    approve(task_of(row, people["cid"]), people["cid"])
    response = page(as_user(people["ann"]), row)
    assert [station.state for station in response.context["stations"]] == ["done", "done", "current"]
    assert 'aria-current="step"' in response.text
    send_back(task_of(row, people["eve"]), people["eve"], comment="Why?")
    stations = page(as_user(people["ann"]), row).context["stations"]
    assert [station.state for station in stations] == ["done", "done", "returned"]
    withdraw(row, people["ann"])
    response = page(as_user(people["ann"]), row)
    assert [each.words for each in response.context["history"]] == [
        "Ann submitted it.",
        "It reached “Both”: Bob, Cid.",
        "Bob approved at “Both”.",
        "Cid approved at “Both”.",
        "“Told”: copied to Dan.",
        "It reached “Last”: Eve.",
        "Eve returned it to its initiator.",
        "Ann withdrew it.",
    ]


def test_what_a_request_is_about_is_shown_and_may_be_gone(people, as_user):
    role = a_role("The subject")
    row = submit(a_process(step(people["bob"])), people["ann"], subject=role)
    assert "The subject" in page(as_user(people["bob"]), row).text
    role.delete()
    assert "does not exist any more" in page(as_user(people["bob"]), row).text
    ContentType.objects.filter(pk=row.content_type_id).update(app_label="removed", model="thing")
    ContentType.objects.clear_cache()
    try:
        assert "does not exist any more" in page(as_user(people["bob"]), row).text
        assert Request.objects.get().subject is None
    finally:
        ContentType.objects.clear_cache()


def test_lists_are_searched_and_paged(people, as_user):
    process = a_process(step(people["bob"]))
    for number in range(60):
        submit(process, people["ann"], title=f"Trip {number:02}")
    client = as_user(people["bob"])
    url = reverse("approvals:todo")
    first = client.get(url).context["page"]
    assert [task.request.title for task in first.rows] == [f"Trip {number}" for number in range(59, 34, -1)]
    assert not first.newer
    second = client.get(url + first.older).context["page"]
    third = client.get(url + second.older).context["page"]
    assert (len(third.rows), third.older) == (10, "")
    newest = client.get(f"{url}?after={first.rows[0].pk}").context["page"]
    assert (newest.rows, newest.newer) == (first.rows, ""), "nothing is newer than the newest"
    back = client.get(url + third.newer).context["page"]
    assert [task.pk for task in back.rows] == [task.pk for task in second.rows]
    found = client.get(url, {"q": "trip 4"}).context["page"]
    assert len(found.rows) == 10
    assert "Nothing was found" in client.get(url, {"q": "no such trip"}).text
    for odd in ("?before=x", "?after=-1", "?before=" + "9" * 40, "?q=%00"):
        assert client.get(url + odd).status_code == 200
    assert "?q=Trip&amp;before=" in client.get(url, {"q": "Trip"}).text


@pytest.mark.parametrize("tab", LISTS)
def test_a_list_has_a_constant_number_of_queries(people, as_user, django_assert_num_queries, tab):
    process = a_process(step(people["bob"], kind="cc"), step(people["bob"]), step(people["bob"]))
    client = as_user(people["bob"])
    client.get(reverse("approvals:todo"))
    for count in (1, 12):
        for number in range(count):
            row = submit(process, people["bob"], title=f"{count}-{number}")
            approve(task_of(row, people["bob"]), people["bob"])
        # Session, user, five counts, two for their permissions, the rows; what was returned.
        with django_assert_num_queries(11 if tab == "todo" else 10):
            response = client.get(reverse(f"approvals:{tab}"))
        assert len(response.context["page"].rows) == (1 if count == 1 else 13)


def test_a_requests_page_has_a_constant_number_of_queries(people, as_user, django_assert_max_num_queries):
    names = [people[name] for name in ("bob", "cid", "dan", "eve")]
    client = as_user(people["bob"])
    for number, count in enumerate((1, 8)):
        nodes = [step(*names, mode="all") for _ in range(count)]
        row = submit(a_process(*nodes, key=f"p{number}"), people["ann"])
        for _ in range(count - 1):
            for user in names:
                approve(task_of(row, user), user)
        with django_assert_max_num_queries(17):
            assert page(client, row).status_code == 200


def test_pages_run_under_a_strict_content_security_policy(people, as_user):
    row = submit(a_process(step(people["bob"])), people["ann"])
    client = as_user(people["bob"])
    for url in (
        reverse("approvals:todo"),
        reverse("approvals:request", args=[row.pk]),
        reverse("approvals:start_list"),
    ):
        shown = client.get(url).text
        assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", shown)
        assert not re.search(r"<script(?![^>]*\ssrc=)", shown)


def test_pages_speak_chinese(people, as_user):
    row = submit(a_process(step(people["bob"])), people["ann"])
    client = as_user(people["bob"])
    shown = client.get(reverse("approvals:request", args=[row.pk]), headers={"accept-language": "zh-hans"}).text
    assert 'lang="zh-hans"' in shown
    assert "待办" in shown
    assert "拒绝" in shown


def test_nothing_is_kept_by_browsers(people, as_user):
    assert "no-store" in as_user(people["bob"]).get(reverse("approvals:todo"))["Cache-Control"]
