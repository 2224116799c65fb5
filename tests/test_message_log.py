"""The log in admin: pages, filters, dates, search, and what it keeps to itself."""

import re
import time
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote, urlencode

import pytest
from cryptography.fernet import Fernet
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.html import escape

from sms_services.admin.dates import Period
from sms_services.admin.times import to_the_second
from sms_services.choices import MessageStatus
from sms_services.encryption import encrypt
from sms_services.keyset import Position
from sms_services.models import MessageExport, MessageReveal, SandboxMessage, SmsMessage, SmsTemplate
from tests.log_messages import (
    LIST,
    MASKED,
    NUMBER,
    a_failed_try,
    a_message,
    a_service,
    assert_private,
    log_in,
    many_messages,
    page_of,
    searched,
    template,
)

pytestmark = pytest.mark.django_db

VIEW, REVEAL = "view_smsmessage", "reveal_smsmessage"
UNREADABLE = "The search in this address is somebody else&#x27;s, more than a day old, or cannot be read."
SEARCH_DENIED = "Only those who may reveal messages can search for phone numbers."


def shown(response):
    """The primary keys on a page of the list."""
    return [message.pk for message in response.context["cl"].result_list]


def listed(client, **query):
    response = client.get(LIST, query)
    assert response.status_code == 200
    return shown(response)


@pytest.mark.databases
class TestPages:
    def test_paging_to_the_end_and_back_shows_each_message_once(self, admin_client):
        expected = [message.pk for message in reversed(many_messages(250))]
        seen, url = [], LIST
        while url:
            response = admin_client.get(url)
            seen += shown(response)
            older = response.context["cl"].pages.older
            url = f"{LIST}{older}" if older else ""
        assert seen == expected
        newer = response.context["cl"].pages.newer
        assert shown(admin_client.get(f"{LIST}{newer}")) == expected[100:200]

    def test_the_oldest_page_is_one_click_away(self, admin_client):
        messages = many_messages(250)
        first = admin_client.get(LIST).context["cl"].pages
        last = admin_client.get(f"{LIST}{first.oldest}")
        assert shown(last)[-1] == messages[0].pk
        assert not last.context["cl"].pages.older
        assert last.context["cl"].pages.newest == "?"

    def test_messages_of_one_moment_are_paged_through_too(self, admin_client):
        messages = many_messages(220)
        SmsMessage.objects.update(created_at=timezone.now())
        seen, url = [], LIST
        while url:
            response = admin_client.get(url)
            seen += shown(response)
            url = f"{LIST}{response.context['cl'].pages.older}" if response.context["cl"].pages.older else ""
        assert seen == [message.pk for message in reversed(messages)]

    def test_a_page_keeps_its_filters_and_another_filter_begins_anew(self, admin_client):
        many_messages(150)
        many_messages(150, status="failed")
        response = admin_client.get(LIST, {"status__exact": "failed"})
        older = admin_client.get(f"{LIST}{response.context['cl'].pages.older}")
        assert {message.status for message in older.context["cl"].result_list} == {"failed"}
        (by_status, *_others) = older.context["cl"].filter_specs
        for choice in by_status.choices(older.context["cl"]):
            assert "before" not in choice["query_string"]

    def test_the_count_stops(self, admin_client, monkeypatch):
        monkeypatch.setattr("sms_services.admin.changelist.MOST_COUNTED", 120)
        many_messages(121)
        page = admin_client.get(LIST).content.decode()
        assert "More than 120 SMS messages" in page
        paginator = re.search("<p class=.paginator.*?</p>", page, re.S)[0]
        assert "121" not in re.sub("<[^>]*>", "", paginator)  # its links hold the moment of a message

    def test_all_of_few_are_counted(self, admin_client):
        many_messages(101)
        assert "101 SMS messages" in admin_client.get(LIST).content.decode()

    @pytest.mark.parametrize(
        "query",
        [{"before": "x"}, {"after": "1-"}, {"before": "9" * 30 + "-1"}, {"created": "2026-13"}, {"created": "x"}],
    )
    def test_a_wrong_position_or_date_leads_back_to_the_list(self, admin_client, query):
        many_messages(2)
        response = admin_client.get(LIST, query)
        assert (response.status_code, response["Location"]) == (302, f"{LIST}?e=1")

    def test_a_position_is_read_as_it_was_written(self):
        position = Position(datetime(2026, 11, 22, 3, 4, 5, 678901, tzinfo=UTC), 7)
        assert Position.parse(str(position)) == position

    def test_an_empty_log_opens(self, admin_client):
        assert "0 SMS messages" in admin_client.get(LIST).content.decode()


@pytest.mark.databases
class TestFilters:
    def test_each_filter_finds_its_messages(self, admin_client):
        other_service, other_template = a_service(key="other", name="Other"), template()
        many_messages(3)
        by = {
            "status__exact": ("undelivered", a_message(status="undelivered", error_kind="").pk),
            "error_kind__exact": ("quota", a_message(error_kind="quota").pk),
            "purpose__exact": ("marketing", a_message(purpose="marketing").pk),
            "service": (str(other_service.pk), a_message(service=other_service).pk),
            "template": (str(other_template.pk), a_message(template=other_template).pk),
            "try": ("uncertain", a_failed_try(a_message(), "uncertain").message_id),
        }
        for name, (value, pk) in by.items():
            assert listed(admin_client, **{name: value}) == [pk], name

    @pytest.mark.parametrize(("few", "are_many"), [(2, True), (3, False)], ids=["many", "few"])
    def test_a_failed_try_is_found_among_few_and_among_many(self, admin_client, monkeypatch, few, are_many):
        monkeypatch.setattr("sms_services.admin.filters._FEW_TRIES", few)
        _never, twice, once = many_messages(3)
        for message in (twice, twice, once):
            a_failed_try(message, "not_sent")
        a_failed_try(a_message(), "uncertain")
        with CaptureQueriesContext(connection) as queries:
            assert listed(admin_client, **{"try": "not_sent"}) == [once.pk, twice.pk]
            assert listed(admin_client, **{"try": "not_sent", "status__exact": "failed"}) == []
        pages = [query["sql"] for query in queries if "phone_number" in query["sql"]]
        assert len(pages) == 2
        assert all(("EXISTS" in sql) is are_many for sql in pages)

    def test_many_templates_are_a_field_to_choose_from(self, admin_client):
        for number in range(9):
            template(key=f"t{number}", name=f"Template {number}")
        last = SmsTemplate.objects.get(key="t8")
        message = a_message(template=last)
        a_message()
        page = admin_client.get(LIST, {"status__exact": "failed"}).content.decode()
        assert '<select name="template"' in page
        assert '<input type="hidden" name="status__exact" value="failed">' in page
        assert listed(admin_client, template=last.pk) == [message.pk]

    @pytest.mark.parametrize("templates", [2, 9], ids=["links", "field"])
    @pytest.mark.parametrize("name", ["template", "service", "try", "status__exact", "error_kind__exact"])
    def test_an_empty_value_is_all(self, admin_client, name, templates):
        for number in range(templates):
            template(key=f"t{number}", name=f"Template {number}")
        messages = [a_message(service=a_service(key="other", name="Other")), a_message(status="sent", error_kind="")]
        response = admin_client.get(LIST, {name: ""})
        changelist = response.context["cl"]
        assert set(shown(response)) == {message.pk for message in messages}
        for spec in changelist.filter_specs:
            assert [choice["display"] for choice in spec.choices(changelist) if choice["selected"]] == ["All"]
        assert not changelist.has_active_filters
        assert f"{name}=" not in changelist.get_query_string()

    @pytest.mark.parametrize(
        "lookup",
        [
            "phone_number",
            "phone_number__startswith",
            "text__contains",
            "params__name",
            "provider_detail__icontains",
            "retry_of__phone_number__startswith",
            "attempts__provider_detail__contains",
        ],
    )
    def test_nothing_can_be_guessed_through_the_query_string(self, client, lookup):
        log_in(client, VIEW)
        a_message()
        assert client.get(LIST, {lookup: NUMBER}).status_code == 400

    @pytest.mark.parametrize("path", ["smstemplate", "smsservice"])
    def test_nothing_can_be_guessed_through_other_lists(self, client, path):
        log_in(client, "view_smstemplate", "view_smsservice")
        a_message(template=template())
        response = client.get(f"/admin/sms_services/{path}/", {"messages__phone_number__startswith": "+1206"})
        assert response.status_code == 400


@pytest.mark.databases
class TestDates:
    def test_the_links_lead_from_years_to_a_day(self, admin_client):
        now = timezone.now()
        times = [datetime(2024, 2, 29, 12, tzinfo=UTC), datetime(2025, 3, 1, 12, tzinfo=UTC), now]
        old, middle, new = (a_message(created_at=at) for at in times)
        dates = admin_client.get(LIST).context["cl"].dates
        assert [choice.label for choice in dates.choices] == [str(year) for year in range(2024, now.year + 1)]
        assert listed(admin_client, created="2024") == [old.pk]
        assert listed(admin_client, created="2024-02") == [old.pk]
        assert listed(admin_client, created="2024-02-29") == [old.pk]
        assert listed(admin_client, created="2024-02-28") == []
        assert listed(admin_client, created="2025") == [middle.pk]
        assert new.pk in listed(admin_client)
        dates = admin_client.get(LIST, {"created": "2024-02"}).context["cl"].dates
        assert ([choice.label for choice in dates.back], dates.here) == (["All dates", "2024"], "February")
        assert [choice.label for choice in dates.choices] == ["February 29"]

    def test_a_day_is_one_of_the_time_zone(self, admin_client):
        message = a_message(created_at=datetime(2025, 5, 1, 23, tzinfo=UTC))
        with timezone.override("Asia/Shanghai"):
            assert listed(admin_client, created="2025-05-02") == [message.pk]
            assert listed(admin_client, created="2025-05-01") == []

    def test_a_date_and_filters_go_together(self, admin_client):
        a_message(created_at=datetime(2025, 5, 1, tzinfo=UTC), status="sent")
        failed = a_message(created_at=datetime(2025, 5, 1, tzinfo=UTC))
        response = admin_client.get(LIST, {"created": "2025-05", "status__exact": "failed"})
        assert shown(response) == [failed.pk]
        changelist = response.context["cl"]
        assert changelist.clear_all_filters_qs == "?"
        assert "status__exact=failed" in changelist.dates.choices[0].query_string

    @pytest.mark.parametrize("text", ["", "2026", "2026-01", "2026-12-31", "2024-02-29"])
    def test_a_period_is_read_as_it_is_written(self, text):
        assert str(Period.parse(text)) == text

    def test_dates_are_written_in_the_admins_language(self, admin_client):
        a_message(created_at=datetime(2025, 5, 1, 12, tzinfo=UTC))
        with translation.override("zh-hans"):
            assert Period(2025, 5).label == "五月"


@pytest.mark.databases
class TestSearch:
    @pytest.mark.parametrize(
        "query", [NUMBER, "+1 (206) 555-0123", "206.555.0123", "００１ 206 555 0123"[3:], " +1-206-555-0123 "]
    )
    def test_a_number_is_found_in_any_notation(self, admin_client, query):
        message = a_message()
        a_message(phone_number="+12065550124")
        assert shown(searched(admin_client, query)) == [message.pk]

    @pytest.mark.parametrize(
        "message_id", ["SM" + "0a" * 16, "900619746936498440^0", "9f1c-11ee:2", "9006197469364984"]
    )
    def test_a_providers_id_is_found_from_the_form_and_from_an_address(self, client, message_id):
        log_in(client, VIEW)
        message = a_message(provider_message_id=message_id)
        a_message()
        found = searched(client, message_id)
        assert shown(found) == listed(client, q=message_id) == [message.pk]
        assert f'value="{message_id}"' in found.content.decode()
        assert shown(searched(client, message_id[:-1])) == []

    @pytest.mark.parametrize("query", ["hello", "Alexandra 12", "+1206555", "2065", "%", "' OR 1=1 --", "+" * 300])
    def test_anything_else_is_answered_without_looking(self, admin_client, query):
        a_message(provider_message_id="hello")
        with CaptureQueriesContext(connection) as queries:
            response = searched(admin_client, query)
        assert shown(response) == []
        assert response.context["cl"].search.problem
        assert "errornote" in response.content.decode()
        assert f'value="{escape(query.strip()[:100])}"' in response.content.decode()
        assert not [sql for sql in queries if "LIKE" in sql["sql"].upper()]

    @pytest.mark.parametrize("region", ["", "CN"])
    @pytest.mark.parametrize("query", ["0123456789", "1380013800", "138-0013-800"])
    def test_a_mistyped_number_is_no_message_id(self, admin_client, sms_settings, region, query):
        """It would stand in the address and in the record of an export."""
        sms_settings(DEFAULT_REGION=region)
        a_message()
        response = searched(admin_client, query)
        assert shown(response) == []
        assert response.context["cl"].search.problem
        assert response.context["cl"].search.message_id == ""

    def test_searching_for_a_number_needs_the_permission_to_reveal(self, client):
        log_in(client, VIEW)
        a_message()
        for query in (NUMBER, "+12065550199"):
            response = searched(client, query)
            assert shown(response) == []
            assert SEARCH_DENIED in response.content.decode()
            assert query[1:] not in response.content.decode()

    def test_a_found_number_is_masked_all_the_same(self, client):
        log_in(client, VIEW, REVEAL)
        a_message()
        page = searched(client, "206 555 0123").content.decode()
        assert f'value="{MASKED}"' in page
        assert_private(page)

    def test_it_takes_the_queries_of_any_page(self, admin_client):
        many_messages(3, status="failed")
        a_message()
        by_number = admin_client.post(f"{LIST}search/", {"q": NUMBER})["Location"]
        admin_client.get(LIST)
        counts = []
        for url in (LIST, by_number, f"{LIST}?q=SM1234567"):
            with CaptureQueriesContext(connection) as queries:
                assert admin_client.get(url).status_code == 200
            counts.append(len(queries))
        assert counts == [7, 7, 6]  # where a message is found, its retries are looked up

    @pytest.mark.parametrize(("permissions", "offered"), [([VIEW], False), ([VIEW, REVEAL], True)])
    def test_the_box_offers_what_whoever_looks_can_search_for(self, client, permissions, offered):
        log_in(client, *permissions)
        page = client.get(LIST).content.decode()
        assert ("A whole phone number" in page) is offered
        assert "rovider&#x27;s message id" in page


class TestAddresses:
    """No address holds what somebody searches for."""

    @pytest.fixture
    def number_page(self, admin_client):
        """The address of a search for a number, with a filter and a date, that has several pages."""
        many_messages(120, status="failed")
        SmsMessage.objects.update(phone_number=NUMBER)
        year = str(timezone.now().year)
        answer = admin_client.post(f"{LIST}search/?status__exact=failed&created={year}&before=1-1", {"q": NUMBER})
        assert answer.status_code == 302
        return answer["Location"]

    def test_the_form_is_a_post_that_works_without_scripts(self):
        client = Client(enforce_csrf_checks=True)
        log_in(client, VIEW, REVEAL)
        message = a_message()
        a_message(phone_number="+12065550124")
        page = client.get(LIST).content.decode()
        form = re.search(r'<form id="changelist-search" method="post" action="([^"]*)".*?</form>', page, re.S)
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form[0])[1]
        assert client.post(form[1].replace("&amp;", "&"), {"q": NUMBER}).status_code == 403
        answer = client.post(form[1].replace("&amp;", "&"), {"q": NUMBER, "csrfmiddlewaretoken": token})
        assert shown(client.get(answer["Location"])) == [message.pk]

    @pytest.mark.databases
    def test_no_link_of_the_list_holds_the_number_and_all_hold_the_search(self, admin_client, number_page):
        assert_private(number_page)
        assert "status__exact=failed" in number_page
        assert "before" not in number_page
        token = re.search(r"q=([^&]+)", number_page)[1]
        response = admin_client.get(number_page)
        page, changelist = response.content.decode(), response.context["cl"]
        assert_private(page)
        links = [changelist.pages.older, changelist.pages.oldest]
        links += [choice.query_string for choice in [*changelist.dates.back, *changelist.dates.choices]]
        links += [choice["query_string"] for spec in changelist.filter_specs for choice in spec.choices(changelist)]
        links += re.findall(r'action="[^"]*(?:export|search)/\?([^"]*)"', page)
        assert len(links) > 20
        for link in links:
            assert f"q={token}" in link
            assert admin_client.get(f"{LIST}?{link.replace('&amp;', '&').lstrip('?')}").status_code == 200
        assert len(shown(admin_client.get(f"{LIST}{changelist.pages.older}"))) == 20

    def test_fields_to_choose_from_keep_it_too(self, admin_client, number_page):
        for number in range(9):
            template(key=f"t{number}", name=f"Template {number}")
        page = admin_client.get(number_page).content.decode()
        token = unquote(re.search(r"q=([^&]+)", number_page)[1])
        assert f'<input type="hidden" name="q" value="{token}">' in page

    def test_it_says_nothing_of_what_was_searched(self, admin_client):
        a_message()
        tokens = {
            unquote(admin_client.post(f"{LIST}search/", {"q": typed})["Location"].split("q=")[1])
            for typed in (NUMBER, NUMBER, "+8613800001234", "206 555 0123", "+1206555")
        }
        assert len(tokens) == 5  # not even that somebody was searched for twice

    def test_the_masked_number_in_the_box_stands_for_the_same_search(self, admin_client, number_page):
        again = admin_client.post(number_page.replace("?", "search/?"), {"q": f" {MASKED} "})["Location"]
        assert again == number_page

    def test_an_empty_box_ends_the_search_and_keeps_the_filters(self, admin_client, number_page):
        answer = admin_client.post(number_page.replace("?", "search/?"), {"q": " "})
        assert answer["Location"] == f"{LIST}?status__exact=failed&created={timezone.now().year}"
        without = admin_client.get(number_page).context["cl"].without_search
        assert sorted(without.lstrip("?").split("&")) == sorted(answer["Location"].split("?")[1].split("&"))

    @pytest.mark.parametrize("method", ["get", "post"])
    @pytest.mark.parametrize(
        "parameter",
        [
            "nothing",
            "gAAAAABhello1",
            "gAAAAA" + "A" * 114,
            "%",
            "\x00",
            NUMBER,
            "206 555 0123",
            "12065550123",
            "é" * 200,
        ],
    )
    def test_what_cannot_be_read_leads_to_the_list_and_says_so(self, admin_client, method, parameter):
        message = a_message()
        a_message(status="sent")
        address = f"{LIST}?{urlencode({'status__exact': 'failed', 'q': parameter, 'before': '1-1'})}"
        response = getattr(admin_client, method)(address, follow=True)
        assert response.redirect_chain == [(f"{LIST}?status__exact=failed", 302)]
        assert shown(response) == [message.pk]
        page = response.content.decode()
        assert UNREADABLE in page
        assert_private(page)

    def test_it_ends_after_a_day(self, admin_client, monkeypatch):
        a_message()
        address = admin_client.post(f"{LIST}search/", {"q": NUMBER})["Location"]
        now = time.time()
        monkeypatch.setattr("time.time", lambda: now + 86_000)
        assert admin_client.get(address).status_code == 200
        monkeypatch.setattr("time.time", lambda: now + 86_500)
        page = admin_client.get(address, follow=True).content.decode()
        assert "more than a day old" in page

    @pytest.mark.databases
    def test_it_outlives_a_change_of_keys_as_secrets_do(self, admin_client, sms_settings):
        old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
        message = a_message()
        sms_settings(ENCRYPTION_KEYS=[old])
        address = admin_client.post(f"{LIST}search/", {"q": NUMBER})["Location"]
        sms_settings(ENCRYPTION_KEYS=[new, old])
        assert shown(admin_client.get(address)) == [message.pk]
        sms_settings(ENCRYPTION_KEYS=[new])
        assert "cannot be read" in admin_client.get(address, follow=True).content.decode()

    def test_without_keys_it_says_what_is_missing(self, admin_client, sms_settings):
        sms_settings(ENCRYPTION_KEYS=[])
        answer = admin_client.post(f"{LIST}search/", {"q": NUMBER}, follow=True)
        assert (answer.status_code, "ENCRYPTION_KEYS" in answer.content.decode()) == (200, True)

    def test_no_other_secret_is_taken_for_a_search(self, admin_client):
        """Who has the database does not learn here what is in it."""
        for stored in (encrypt(NUMBER), encrypt("test:1:" + NUMBER), encrypt(f"research:{NUMBER}")):
            page = admin_client.get(LIST, {"q": stored}, follow=True).content.decode()
            assert "cannot be read" in page
            assert MASKED not in page

    @pytest.mark.parametrize("permissions", [[VIEW], [VIEW, REVEAL]])
    @pytest.mark.parametrize("typed", [NUMBER, "206 555 012", "call Maya: 206 555 0123"])
    def test_nobody_else_can_read_it(self, client, admin_client, typed, permissions):
        a_message()
        address = admin_client.post(f"{LIST}search/", {"q": typed})["Location"]
        assert admin_client.get(address).context["cl"].search.in_box == (MASKED if typed == NUMBER else typed)
        log_in(client, *permissions)
        response = client.get(address, follow=True)
        assert response.redirect_chain == [(LIST, 302)]
        page = response.content.decode()
        assert UNREADABLE in page
        assert MASKED not in re.search(r'<form id="changelist-search".*?</form>', page, re.S)[0]
        assert typed not in page

    def test_it_needs_the_permission_to_view(self, client):
        log_in(client, REVEAL)
        assert client.post(f"{LIST}search/", {"q": NUMBER}).status_code == 403
        client.logout()
        assert "/login/" in client.post(f"{LIST}search/", {"q": NUMBER})["Location"]

    def test_who_had_to_log_in_first_comes_back_to_the_list(self, admin_client):
        answer = admin_client.get(f"{LIST}search/?status__exact=failed")
        assert answer["Location"] == f"{LIST}?status__exact=failed"

    def test_an_error_on_the_way_shows_no_number(self, client, settings, monkeypatch):
        settings.DEBUG = True
        client.raise_request_exception = False
        log_in(client, VIEW, REVEAL)
        monkeypatch.setattr("sms_services.admin.search.seal", lambda typed, use: 1 / 0)
        response = client.post(f"{LIST}search/", {"q": NUMBER})
        assert response.status_code == 500
        assert_private(response.content.decode())


class TestMasking:
    @pytest.mark.parametrize("permissions", [[VIEW], [VIEW, REVEAL, "export_smsmessage", "retry_smsmessage"]])
    def test_no_page_shows_a_number_or_a_text(self, client, permissions):
        log_in(client, *permissions)
        message = a_message(status="unknown", text=f"Hello {NUMBER} ${{name}}")
        a_failed_try(message)
        for url in (LIST, page_of(message), page_of(message, "history")):
            page = client.get(url).content.decode()
            assert_private(page)
            assert "Hello" not in page

    def test_variables_are_named_and_said_to_be_hidden_or_wiped(self, admin_client):
        message = a_message(text="${code} for ${name}", hidden_names=["code"])
        page = admin_client.get(page_of(message)).content.decode()
        assert "<code>code</code> wiped" in page
        assert "<code>name</code> hidden" in page

    @pytest.mark.databases
    def test_the_list_does_not_read_what_it_does_not_show(self, admin_client):
        a_message()
        with CaptureQueriesContext(connection) as queries:
            admin_client.get(LIST)
        (rows,) = [
            sql["sql"] for sql in queries if "sms_services_smsmessage" in sql["sql"] and "error_kind" in sql["sql"]
        ]
        assert "sensitive_params" not in rows

    def test_without_any_permission_nothing_is_shown(self, client):
        message = a_message()
        log_in(client)
        for url in (LIST, page_of(message), page_of(message, "history")):
            assert client.get(url).status_code == 403

    @pytest.mark.parametrize("url", [LIST, f"{LIST}export/"])
    def test_an_error_shows_no_number(self, client, settings, monkeypatch, url):
        settings.DEBUG = True
        client.raise_request_exception = False
        log_in(client, VIEW, REVEAL, "export_smsmessage")
        monkeypatch.setattr("sms_services.admin.changelist.days_with_messages", lambda: 1 / 0)
        a_message()
        method = client.post if "export" in url else client.get
        response = method(url)
        assert response.status_code == 500
        assert_private(response.content.decode())


class TestQueries:
    def queries_of(self, client, url):
        with CaptureQueriesContext(connection) as queries:
            assert client.get(url, follow=True).status_code == 200
        return len(queries)

    def fill(self, admin_user, count):
        for number in range(count):
            greeting = template(key=f"t{SmsTemplate.objects.count()}")
            message = a_message(template=greeting, service=a_service(key=f"s{number}", name=f"Service {number}"))
            a_failed_try(message)
            SandboxMessage.objects.create(
                service=message.service, phone_number=NUMBER, text="Hello", message_id=f"SB{message.pk}"
            )
            MessageReveal.objects.create(user=admin_user, username="admin", message=message)
            MessageExport.objects.create(user=admin_user, username="admin", filters={"status": "sent"}, rows=1)

    @pytest.mark.parametrize(
        "model",
        [model for model in admin.site._registry if model._meta.app_label == "sms_services"],
        ids=lambda model: model._meta.model_name,
    )
    def test_every_list_takes_the_same_number_of_queries_however_long(self, admin_client, admin_user, model):
        url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        self.fill(admin_user, 3)
        admin_client.get(url)  # Django keeps content types in memory
        few = self.queries_of(admin_client, url)
        self.fill(admin_user, 30)
        assert self.queries_of(admin_client, url) == few
        assert few <= 8

    def test_every_page_of_a_long_log_takes_the_same_number(self, admin_client):
        many_messages(350)
        url, counts = LIST, set()
        while url:
            with CaptureQueriesContext(connection) as queries:
                response = admin_client.get(url)
            counts.add(len(queries))
            older = response.context["cl"].pages.older
            url = f"{LIST}{older}" if older else ""
        assert counts == {8}

    def test_a_message_takes_the_same_number_however_many_tries(self, admin_client):
        message = a_message()
        a_failed_try(message)
        admin_client.get(page_of(message))  # Django keeps content types in memory
        few = self.queries_of(admin_client, page_of(message))
        for _ in range(10):
            a_failed_try(message)
        assert self.queries_of(admin_client, page_of(message)) == few


def test_the_log_opens_in_popups_and_is_not_sortable(admin_client):
    newest = many_messages(3)[-1]
    assert listed(admin_client, o="1", _popup="1")[0] == newest.pk


@pytest.mark.parametrize("status", MessageStatus)
def test_a_status_is_a_word_with_a_sign_of_its_own_in_the_list_and_on_the_page(admin_client, status):
    message = a_message(status=status, error_kind="quota")
    badge = f'<span class="sms-badge sms-badge-{status}">{status.label}</span>'
    for url in (LIST, page_of(message)):
        assert badge in admin_client.get(url).content.decode()
    assert ">Quota</div>" in admin_client.get(LIST).content.decode()


def test_a_message_is_named_with_its_status_in_the_readers_language(admin_client):
    message = a_message(status="undelivered")
    assert str(message) == f"{MASKED} (Undelivered)"
    with translation.override("zh-hans"):
        assert str(message) == f"{MASKED} (未送达)"


def test_a_message_shows_its_retries_both_ways(admin_client):
    old = a_message()
    new = a_message(retry_of=old, created_at=timezone.now() + timedelta(seconds=1))
    for one, other in ((old, new), (new, old)):
        link = f'<a href="{page_of(other)}">message {other.pk} of {to_the_second(other.created_at)}</a>'
        assert link in admin_client.get(page_of(one)).content.decode()
    log = admin_client.get(LIST).content.decode()
    assert f'<a href="{page_of(new)}">retried</a>' in log
    assert f'<a href="{page_of(old)}">a retry</a>' in log


def test_times_are_given_to_the_second(admin_client):
    at = datetime(2025, 5, 1, 21, 4, 9, tzinfo=UTC)
    message = a_message(created_at=at, sent_at=at)
    a_failed_try(message)
    assert admin_client.get(page_of(message)).content.decode().count("May 1, 2025, 21:04:09 UTC") == 2
    assert "21:04:09</div>" in admin_client.get(LIST).content.decode()
