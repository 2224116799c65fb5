"""Notifications in admin: the list, the page that follows one, its buttons, and its recipients."""

from __future__ import annotations

import html
import re
from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext, override_settings
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format

from notifications.api import cancel, notify, retry_failed
from notifications.choices import NotificationProblem, NotificationStatus
from notifications.expansion.ending import end
from notifications.expansion.expanding import expand
from notifications.models import Notification, Recipient
from notifications.variables import FrozenVariables
from sms_services.choices import MessageStatus, SkipReason
from sms_services.encryption import MASK
from sms_services.models import SandboxSms, SmsMessage
from sms_services.tasks import deliver_messages
from tests.log_messages import log_in
from tests.people import a_department, a_person, a_role, number_of, people
from tests.services_under_test import create_template

pytest_plugins = ["tests.services_under_test"]
pytestmark = [pytest.mark.django_db, pytest.mark.databases]

LIST = "/admin/notifications/notification/"
VIEW, CONTROL = "view_notification", "control_notification"


@pytest.fixture
def news(sandbox):
    return create_template(key="news", text="News of ${place}")


def told(users, *, resolve=True, **options):
    """A notification whose people are resolved, and whose messages wait."""
    defaults = {"service": "sandbox", "template": "news", "variables": {"place": "Hall 3"}, "users": users}
    notification = notify(**{**defaults, **options})
    if resolve:
        expand(notification.pk)
    return Notification.objects.get(pk=notification.pk)


def put(notification, **counts):
    """So many of its messages have these statuses: `failed=3`."""
    pks = list(SmsMessage.objects.filter(batch=notification.batch_id).order_by("pk").values_list("pk", flat=True))
    for status, count in counts.items():
        wrong = status in (MessageStatus.FAILED, MessageStatus.UNDELIVERED, MessageStatus.UNKNOWN)
        kind, code = ("recipient", "invalid_number") if wrong else ("", "")
        SmsMessage.objects.filter(pk__in=pks[:count]).update(
            status=status, sweep_at=None, error_kind=kind, provider_code=code
        )
        pks = pks[count:]


def page_of(notification, view="change"):
    return reverse(f"admin:notifications_notification_{view}", args=[notification.pk])


def queries(client, url):
    client.get(url)
    with CaptureQueriesContext(connection) as captured:
        assert client.get(url).status_code == 200
    return len(captured)


def words_of(response):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


def names(page):
    return [re.search(r"\((.+)\)", row.label)[1] for row in page.context["page"].rows]


class TestList:
    def test_it_asks_no_more_of_many_notifications(self, admin_client, news):
        for number in range(2):
            told(people(3, 10 * number))
        few = queries(admin_client, LIST)
        for number in range(2, 12):
            told(people(3, 10 * number))
        assert queries(admin_client, LIST) == few

    def test_it_shows_how_far_each_is(self, admin_client, news):
        put(told(people(5)), sent=2, failed=1)
        words = words_of(admin_client.get(LIST))
        assert "3 / 5" in words
        assert "Running" in words

    @pytest.mark.parametrize(
        "query",
        [
            {"status__exact": "running"},
            {"key": ""},
            {"created_at__gte": "2020-01-01 00:00:00+00:00"},
            {"purpose": "notification"},
        ],
    )
    def test_its_filters_work(self, admin_client, news, query):
        told(people(1))
        assert len(admin_client.get(LIST, query).context["cl"].result_list) == 1

    def test_texts_of_other_purposes_can_be_left_out(self, admin_client, news):
        told(people(1))
        assert not admin_client.get(LIST, {"purpose": "approval"}).context["cl"].result_list
        assert "purpose=otp" not in admin_client.get(LIST).content.decode()

    def test_what_is_scheduled_says_when_as_the_other_times_are_written(self, admin_client, news):
        when = timezone.now() + timedelta(days=3)
        notification = told(people(1), resolve=False, send_at=when)
        shown = date_format(timezone.localtime(when), "DATETIME_FORMAT")
        assert f"Not before {shown}" in words_of(admin_client.get(LIST))
        assert "Total –" in words_of(admin_client.get(page_of(notification)))

    @pytest.mark.parametrize(
        "lookup", ["users__password__startswith", "text__contains", "recipients__message__phone_number"]
    )
    def test_nothing_else_can_be_asked(self, admin_client, news, lookup):
        told(people(1))
        assert admin_client.get(LIST, {lookup: "a"}).status_code in (302, 400)


class TestPage:
    def test_it_says_what_was_sent_to_whom_and_by_whom(self, admin_client, admin_user, news):
        works = a_department("Works", people(2))
        hall = a_department("Hall", below=works)
        notification = told(
            [a_person("ada", "+12065550101")], departments=[hall], roles=[a_role("Guards")], created_by=admin_user
        )
        words = words_of(admin_client.get(page_of(notification)))
        for expected in ("News of Hall 3", "Works › Hall", "Guards", "Ada (ada)", "admin"):
            assert expected in words, expected

    def test_it_says_how_many_segments_its_texts_took_and_what_they_cost(self, admin_client, sandbox):
        create_template(key="hello", text="Hello ${name}. " + 150 * "x")
        notification = told(people(3), template="hello", variables={"name": F("first_name")})
        deliver_messages(list(SmsMessage.objects.values_list("pk", flat=True)))
        assert "Segments: -" in words_of(admin_client.get(page_of(notification)))
        end(notification.pk, 1.0)
        assert "Segments: 6 " in words_of(admin_client.get(page_of(notification)))
        SandboxSms.objects.update(price_per_segment=Decimal("0.0479"), currency="EUR")
        assert "Segments: 6 (About 0.29 EUR)" in words_of(admin_client.get(page_of(notification)))
        assert admin_client.get(page_of(notification, "progress")).json()["fields"]["segments"] == "6 (About 0.29 EUR)"
        Notification.objects.update(finished_at=timezone.now() - timedelta(days=3))
        end(notification.pk, 1.0)
        SmsMessage.objects.all().delete()
        assert "Segments: 6 (About 0.29 EUR)" in words_of(admin_client.get(page_of(notification)))

    def test_sensitive_variables_are_never_shown(self, admin_client, sandbox):
        create_template(key="door", text="Door ${pin}")
        notification = told(people(1), template="door", variables={"pin": "Zq7Kx9"})
        page = admin_client.get(page_of(notification)).content.decode()
        assert "Zq7Kx9" not in page
        assert "<code>pin</code>" in page

    def test_values_are_shown_to_who_wrote_them(self, client, news):
        """Whoever may reveal texts does so in the log, where it is recorded."""
        writer = log_in(client, VIEW, name="writer")
        other = log_in(client, VIEW, "reveal_smsmessage", name="other")
        notification = told(people(1), created_by=writer)
        for who, seen in ((writer, True), (other, False)):
            client.force_login(who)
            assert ("Hall 3" in client.get(page_of(notification)).content.decode()) is seen, who

    def test_to_retry_is_not_to_write(self, client, news):
        log_in(client, VIEW, CONTROL)
        notification = told(people(1))
        put(notification, failed=1)
        client.post(page_of(notification, "retry"), {"confirmed": "1"})
        retry = Notification.objects.get(retry_of=notification)
        assert "Hall 3" not in client.get(page_of(retry)).content.decode()

    def test_only_some_of_many_users_are_named(self, admin_client, news):
        assert "and 1,480 others" in words_of(admin_client.get(page_of(told(people(1500), resolve=False))))

    def test_the_number_of_queries_is_constant(self, admin_client, news):
        few = queries(admin_client, page_of(told(people(3))))
        assert queries(admin_client, page_of(told(people(300, 10)))) <= few + 1  # counting those that are not named

    def test_no_page_has_a_number(self, admin_client, news):
        notification = told(people(3))
        put(notification, sent=1, failed=1)
        for view in ("change", "recipients", "progress"):
            page = admin_client.get(page_of(notification, view)).content.decode()
            assert number_of(0)[1:] not in page
            assert number_of(0)[3:] not in page

    def test_without_scripts_it_reloads_itself_until_it_is_finished(self, admin_client, news):
        notification = told(people(1))
        assert 'http-equiv="refresh"' in admin_client.get(page_of(notification)).content.decode()
        Notification.objects.update(status="finished", finished_at=timezone.now())
        assert 'http-equiv="refresh"' not in admin_client.get(page_of(notification)).content.decode()


class TestProgress:
    def answer(self, client, notification, **query):
        response = client.get(page_of(notification, "progress"), query)
        assert response.status_code == 200
        return response.json()

    def test_it_counts_everybody_once(self, admin_client, news):
        users = [*people(8), a_person("zoe"), a_person("yan", "+12065550109", is_active=False)]
        notification = told(users)
        put(notification, delivered=1, sent=2, failed=1, undelivered=1, unknown=1, sending=1)
        answer = self.answer(admin_client, notification)
        assert answer["counts"] == {
            "queued": 1,
            "sending": 1,
            "sent": 2,
            "delivered": 1,
            "undelivered": 1,
            "failed": 1,
            "unknown": 1,
            "skipped": 2,
            "total": 10,
        }
        assert (answer["done"], answer["wrong"], answer["live"]) == (8, 3, True)
        assert "8 of 10 people are done (80%)" in answer["sentence"]
        assert "No phone number" in answer["parts"]["figures"]

    def test_speed_is_that_since_the_last_answers(self, admin_client, news):
        notification = told([*people(40), *[a_person(f"without{number}") for number in range(20)]])
        put(notification, sent=30)
        answer = self.answer(admin_client, notification, left=10, ms=2000)
        assert answer["left"] == 30
        assert "10 a second; about 1 second left." in answer["parts"]["state"]
        assert "10 a second" not in self.answer(admin_client, notification, left=30, ms=2000)["parts"]["state"]

    def test_what_stops_it_is_said(self, admin_client, news):
        notification = told(people(1), resolve=False)
        Notification.objects.update(problem=NotificationProblem.PHONE_NUMBER)
        assert "Check PHONE_NUMBER" in self.answer(admin_client, notification)["parts"]["state"]
        assert "Check PHONE_NUMBER" in admin_client.get(page_of(notification)).content.decode()

    def test_without_scripts_the_speed_is_an_average_and_says_so(self, admin_client, news):
        notification = told(people(40))
        put(notification, sent=30)
        Notification.objects.update(started_at=timezone.now() - timedelta(minutes=1))  # it may have been paused
        page = admin_client.get(page_of(notification)).content.decode()
        shown, hidden = re.search(
            r"(<p class=\"notifications-state\">.*?)<noscript>(.*?)</noscript>", page, re.S
        ).groups()
        assert "a second" not in shown
        assert "0.5 a second on average, pauses included." in hidden

    def test_what_was_cancelled_does_not_say_that_it_has_yet_to_begin(self, admin_client, news):
        notification = told(people(1), resolve=False, send_at=timezone.now() + timedelta(days=1))
        assert "It has not begun yet." in self.answer(admin_client, notification)["sentence"]
        cancel(notification)
        assert self.answer(admin_client, notification)["sentence"] == "Cancelled. It was cancelled before it began."

    def test_what_is_paused_or_cancelled_midway_does_not_say_that_people_are_added(self, admin_client, news):
        notification = told(people(1))
        Notification.objects.update(status=NotificationStatus.PAUSED, expanded_at=None)
        assert "more are added once it goes on" in self.answer(admin_client, notification)["sentence"]
        Notification.objects.update(status=NotificationStatus.CANCELLED)
        assert "the others are being skipped" in self.answer(admin_client, notification)["sentence"]

    def test_its_beginning_and_its_end_have_words_of_their_own(self, admin_client, news):
        notification = told(people(2), resolve=False)
        answer = self.answer(admin_client, notification)
        assert (answer["label"], answer["status"]) == ("Starting…", "running")
        assert 'data-key="cancel"' in answer["parts"]["buttons"]
        expand(notification.pk)
        put(notification, sent=1)
        answer = self.answer(admin_client, notification)
        assert (answer["label"], answer["fields"]["finished_at"]) == ("Running", "-")
        assert 'data-key="pause"' in answer["parts"]["buttons"]
        put(notification, sent=2)
        answer = self.answer(admin_client, notification)
        assert answer["sentence"] == "Finishing… 2 of 2 people are done (100%)."
        assert "<button" not in answer["parts"]["buttons"]
        assert "Finishing…" in words_of(admin_client.get(page_of(notification)))
        assert "Finishing…" in words_of(admin_client.get(LIST))
        Notification.objects.update(status=NotificationStatus.FINISHED, finished_at=timezone.now())
        answer = self.answer(admin_client, notification)
        assert answer["label"] == "Finished"
        finished = answer["fields"]["finished_at"]
        assert f'<div class="readonly">{finished}</div>' in admin_client.get(page_of(notification)).content.decode()

    def test_failures_are_grouped_with_what_to_do_about_them(self, admin_client, news):
        notification = told(people(6))
        put(notification, failed=3, unknown=2)
        failures = self.answer(admin_client, notification)["parts"]["failures"]
        assert "Failed: 3" in failures
        assert "Check the phone number." in failures
        assert "It may have been sent" in failures
        assert "failures" not in self.answer(admin_client, notification, wrong=5)["parts"]

    def test_a_kind_of_failure_leads_to_those_who_failed_so(self, admin_client, news):
        notification = told(people(6))
        put(notification, failed=4)
        odd = SmsMessage.objects.filter(status="failed").order_by("-pk").first()
        SmsMessage.objects.filter(pk=odd.pk).update(error_kind="quota", provider_code="No & balance")
        failures = self.answer(admin_client, notification)["parts"]["failures"]
        shown = {}
        for link in re.findall(r'href="([^"]+)"', failures):
            page = admin_client.get(html.unescape(link))
            shown[len(page.context["page"].rows)] = words_of(page)
        assert sorted(shown) == [1, 3]
        assert "Only those with this error: Quota · No &amp; balance." in shown[1]
        assert odd.phone_number[-4:] in shown[1]

    def test_it_stops_when_there_is_nothing_more_to_see(self, admin_client, news):
        notification = told(people(1))
        put(notification, sent=1)
        Notification.objects.update(status=NotificationStatus.FINISHED, finished_at=timezone.now())
        assert self.answer(admin_client, notification)["live"] is False

    @pytest.mark.parametrize("query", [{"left": "x"}, {"ms": "-1"}, {"wrong": "9" * 40}])
    def test_a_strange_question_is_no_error(self, admin_client, news, query):
        self.answer(admin_client, told(people(1)), **query)

    def test_an_answer_takes_the_same_queries_for_many_people(self, admin_client, news):
        few, many = told(people(3)), told(people(300, 10))
        put(few, sent=1, failed=1)
        put(many, sent=100, failed=100)
        assert queries(admin_client, page_of(few, "progress")) == queries(admin_client, page_of(many, "progress"))


@pytest.mark.usefixtures("broker")
class TestButtons:
    def test_pause_and_resume(self, admin_client, news):
        notification = told(people(2))
        admin_client.post(page_of(notification, "pause"))
        assert Notification.objects.get().status == NotificationStatus.PAUSED
        page = admin_client.get(page_of(notification)).content.decode()
        assert "/resume/" in page
        assert f"/{notification.pk}/pause/" not in page
        admin_client.post(page_of(notification, "resume"))
        assert Notification.objects.get().status == NotificationStatus.RUNNING
        assert [entry.get_change_message() for entry in LogEntry.objects.order_by("pk")] == ["Paused.", "Resumed."]

    def test_cancelling_asks_first(self, admin_client, news):
        notification = told(people(5))
        put(notification, sent=2)
        question = admin_client.post(page_of(notification, "cancel"))
        assert "Sent already 2" in words_of(question)
        assert "Queued 3" in words_of(question)
        assert Notification.objects.get().status == NotificationStatus.RUNNING
        admin_client.post(page_of(notification, "cancel"), {"confirmed": "1"})
        assert Notification.objects.get().status == NotificationStatus.CANCELLED

    def test_retrying_asks_first_and_leaves_out_what_is_in_doubt(self, admin_client, news):
        notification = told(people(6))
        put(notification, failed=2, undelivered=1, unknown=2, sent=1)
        question = words_of(admin_client.post(page_of(notification, "retry")))
        assert "3 texts failed or were not delivered" in question
        assert "2 texts are in doubt and are left out" in question
        assert Notification.objects.count() == 1
        answer = admin_client.post(page_of(notification, "retry"), {"confirmed": "1"})
        retry = Notification.objects.get(retry_of=notification)
        assert answer["Location"] == page_of(retry)
        expand(retry.pk)
        assert retry.counts()["total"] == 3
        assert f"/{retry.pk}/change/" in admin_client.get(page_of(notification)).content.decode()
        assert f"/{notification.pk}/retry/" not in admin_client.get(page_of(notification)).content.decode()
        again = admin_client.post(page_of(notification, "retry"), {"confirmed": "1"}, follow=True)
        assert "Nothing failed that was not retried" in words_of(again)

    @pytest.mark.parametrize("step", ["pause", "cancel"])
    def test_what_was_stopped_is_not_retried(self, admin_client, news, step):
        notification = told(people(3))
        put(notification, failed=1)
        assert f"/{notification.pk}/retry/" in admin_client.get(page_of(notification)).content.decode()
        admin_client.post(page_of(notification, step), {"confirmed": "1"})
        assert f"/{notification.pk}/retry/" not in admin_client.get(page_of(notification)).content.decode()
        answer = admin_client.post(page_of(notification, "retry"), {"confirmed": "1"}, follow=True)
        said = {"pause": "is paused. Resume it first.", "cancel": "was cancelled. Send a new one instead."}
        assert f"This notification {said[step]}" in words_of(answer)
        assert Notification.objects.count() == 1

    def test_a_retry_says_whom_it_is_for_and_hides_only_values(self, client, sandbox):
        create_template(key="alarm", text="${name}, ${device} fails")
        notification = told(people(2), template="alarm", variables={"name": F("first_name"), "device": "Pump 1"})
        put(notification, failed=1)
        retry = retry_failed(notification)
        expand(retry.pk)
        log_in(client, VIEW)
        words = words_of(client.get(page_of(retry)))
        assert f"[First name], {MASK} fails" in words
        assert f"Those of {notification} whose text failed" in words
        with override_settings(NOTIFICATIONS={"RECIPIENT_FIELDS": []}):
            FrozenVariables(retry).check()  # its values stand in the old messages

    def test_a_button_of_an_old_page_says_what_is(self, admin_client, news):
        notification = told(people(1))
        Notification.objects.update(status=NotificationStatus.FINISHED)
        answer = admin_client.post(page_of(notification, "pause"), follow=True)
        assert "Only a scheduled or running notification can be paused. It is: Finished." in words_of(answer)

    @pytest.mark.parametrize("step", ["pause", "resume", "cancel", "retry"])
    def test_they_need_their_own_permission_and_a_post(self, client, news, step):
        notification = told(people(1))
        log_in(client, VIEW)
        page = client.get(page_of(notification)).content.decode()
        assert "notifications-buttons" not in page
        assert client.post(page_of(notification, step), {"confirmed": "1"}).status_code == 403
        log_in(client, VIEW, CONTROL, name="boss")
        led = client.get(page_of(notification, step))  # as of a question that is loaded again
        assert (led.status_code, led["Location"]) == (302, page_of(notification))
        assert client.put(page_of(notification, step)).status_code == 405
        assert Notification.objects.get().status == NotificationStatus.RUNNING
        assert client.post(page_of(notification, step)).status_code in (200, 302)


class TestRecipients:
    def test_everybody_is_there_once_with_the_reasons(self, admin_client, news):
        ada, ben = a_person("ada", "+12065550101"), a_person("ben", "+12065550102")
        works = a_department("Works", [ada, ben])
        hall = a_department("Hall", [ada], below=works)
        notification = told([ada], departments=[works], roles=[a_role("Guards", [ben])])
        rows = {row.label: row for row in admin_client.get(page_of(notification, "recipients")).context["page"].rows}
        assert rows["Ada (ada)"].via == ["Chosen by name", "Department: Works", "Department: Works › Hall"]
        assert rows["Ben (ben)"].via == ["Department: Works", "Role: Guards"]
        assert rows["Ada (ada)"].number == "+1 206****0101"
        hall.delete()
        rows = {row.label: row for row in admin_client.get(page_of(notification, "recipients")).context["page"].rows}
        assert "Department: deleted since" in rows["Ada (ada)"].via

    @pytest.mark.parametrize("query", ["", "status=sent", "status=skipped", "reason=no_number", "q=p0"])
    def test_paging_to_the_end_and_back_shows_everybody_once(self, admin_client, news, query):
        with_number, without = people(250), [a_person(f"p9{number:03}") for number in range(130)]
        notification = told([*with_number, *without])
        put(notification, sent=240, skipped=10)
        SmsMessage.objects.filter(status="skipped").update(skip_reason=SkipReason.CANCELLED)
        expected = {"": 380, "status=sent": 240, "status=skipped": 140, "reason=no_number": 130, "q=p0": 250}[query]
        base = page_of(notification, "recipients")
        pages, url = [], f"{base}?{query}"
        while url:
            page = admin_client.get(url)
            pages.append(names(page))
            url = f"{base}{page.context['page'].next}" if page.context["page"].next else ""
        seen = [name for each in pages for name in each]
        assert len(seen) == len(set(seen)) == expected
        back = [pages[-1]]
        while page.context["page"].previous:
            page = admin_client.get(f"{base}{page.context['page'].previous}")
            back.insert(0, names(page))
        assert [name for each in back for name in each] == seen

    def test_filters_show_status_and_why(self, admin_client, news):
        notification = told([*people(4), a_person("zoe")])
        put(notification, failed=1, sent=1)
        url = page_of(notification, "recipients")
        (failed,) = admin_client.get(url, {"status": "failed"}).context["page"].rows
        assert (failed.status_label, failed.why) == ("Failed", "Recipient")
        (skipped,) = admin_client.get(url, {"reason": "no_number"}).context["page"].rows
        assert (skipped.label, skipped.status_label, skipped.why) == ("Zoe (zoe)", "Skipped", "No phone number")
        assert len(admin_client.get(url, {"status": "nonsense"}).context["page"].rows) == 5

    @pytest.mark.parametrize("query", ["", "status=sent", "status=skipped", "reason=cancelled", "q=p"])
    def test_a_page_takes_the_same_queries_for_many_people(self, admin_client, news, query):
        counts = []
        for start, count in ((0, 120), (1000, 600)):
            notification = told(people(count, start), departments=[a_department(f"D{start}", people(3, start + 800))])
            put(notification, sent=count - 110, skipped=110)
            SmsMessage.objects.filter(status="skipped").update(skip_reason=SkipReason.CANCELLED)
            counts.append(queries(admin_client, f"{page_of(notification, 'recipients')}?{query}"))
        assert counts[0] == counts[1]
        assert counts[0] < 30

    @pytest.mark.parametrize(
        "position", ["after=x", "after=9-9", "before=0-x", "after=0-99999999999999999999", "before=-"]
    )
    def test_a_strange_position_is_no_error(self, admin_client, news, position):
        notification = told(people(1))
        assert admin_client.get(f"{page_of(notification, 'recipients')}?{position}").status_code == 200

    def test_messages_are_linked_for_those_who_may_see_them(self, client, news):
        notification = told(people(1))
        url = page_of(notification, "recipients")
        log_in(client, VIEW)
        assert "smsmessage" not in client.get(url).content.decode()
        log_in(client, VIEW, "view_smsmessage", name="boss")
        assert f"smsmessage/{SmsMessage.objects.get().pk}/change/" in client.get(url).content.decode()

    @pytest.mark.parametrize("view", ["change", "recipients", "progress"])
    def test_only_those_who_may_view_see_them(self, client, news, view):
        notification = told(people(1))
        log_in(client, "compose_notification", CONTROL)
        assert client.get(page_of(notification, view)).status_code == 403

    def test_unknown_ones_are_not_found(self, admin_client, news):
        for view in ("recipients", "progress"):
            assert admin_client.get(reverse(f"admin:notifications_notification_{view}", args=[99])).status_code == 404


def test_nobody_changes_or_deletes_a_notification(admin_client, news):
    notification = told(people(1))
    assert admin_client.post(page_of(notification), {"status": "finished"}).status_code == 403
    assert admin_client.post(f"{LIST}{notification.pk}/delete/", {"post": "yes"}).status_code == 403
    assert Recipient.objects.count() == 1
    assert notification.created_at > timezone.now() - timedelta(minutes=1)
