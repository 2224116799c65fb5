"""Departments, their members, the search for recipients, and suppressed numbers in admin."""

from __future__ import annotations

import re

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from notifications.api import notify
from notifications.expansion.expanding import expand
from notifications.models import Department, NotificationPreset, SuppressedNumber
from sms_services.exceptions import InvalidParams
from tests.approval_processes import a_process, step
from tests.log_messages import log_in
from tests.people import a_department, a_person, a_role, number_of, people
from tests.services_under_test import create_template

pytest_plugins = ["tests.services_under_test"]
pytestmark = [pytest.mark.django_db, pytest.mark.databases]

LIST = "/admin/notifications/department/"
COMPOSE = "/admin/notifications/notification/compose/"
FIND = "/admin/notifications/notification/find/"
SUPPRESSED = "/admin/notifications/suppressednumber/"
NUMBER, MASKED = "+12065550123", "+1 206****0123"


def page_of(department, view="change"):
    return reverse(f"admin:notifications_department_{view}", args=[department.pk])


def fresh(department):
    return Department.objects.get(pk=department.pk)


def tree():
    return [(department.depth, department.name) for department in Department.objects.order_by("path")]


def a_preset(service):
    template = create_template(key="fire", text="Fire")
    return NotificationPreset.objects.create(key="fire", name="Fire alarm", service=service, template=template)


def queries(client, url):
    client.get(url)  # permissions, content types
    with CaptureQueriesContext(
        connection,
    ) as captured:
        assert client.get(url).status_code == 200
    return len(captured)


class TestDepartments:
    def test_the_list_is_the_tree_in_the_order_of_the_names(self, admin_client):
        works = a_department("Works")
        a_department("Office")
        hall = a_department("Hall", below=fresh(works))
        a_department("Crane", people(3), below=fresh(hall))
        page = admin_client.get(LIST)
        assert [department.name for department in page.context["cl"].result_list] == [
            "Office",
            "Works",
            "Hall",
            "Crane",
        ]
        assert "department-level-3" in page.content.decode()
        assert "3 members" in page.content.decode()

    def test_the_list_asks_no_more_of_many_departments(self, admin_client):
        def grow(start, count):
            heads = people(count, start)
            for number, head in enumerate(heads, start=start):
                department = a_department(f"D{number:03}", [head])
                Department.objects.filter(pk=department.pk).update(head=head)

        grow(0, 2)
        few = queries(admin_client, LIST)
        grow(2, 30)
        assert queries(admin_client, LIST) == few

    def test_counts_stand_beside_the_search_only_where_something_is_left_out(self, admin_client):
        a_department("Works")
        for url in (LIST, "/admin/notifications/notificationpreset/"):
            assert "Show all" not in admin_client.get(url).content.decode()
        assert "1 total" in admin_client.get(LIST, {"q": "Office"}).content.decode()

    def test_a_new_one_says_where_its_members_are_added(self, admin_client):
        assert "its members are added" in admin_client.get(f"{LIST}add/").content.decode()
        assert "its members are added" not in admin_client.get(page_of(a_department("Works"))).content.decode()

    def test_a_department_is_added_below_another_one(self, admin_client):
        works, head = a_department("Works"), a_person("ada")
        form = {"name": "Hall", "parent": works.pk, "head": head.pk}
        assert admin_client.post(f"{LIST}add/", form).status_code == 302
        assert tree() == [(1, "Works"), (2, "Hall")]
        assert Department.objects.get(name="Hall").head == head

    def test_a_renamed_department_moves_to_its_place(self, admin_client):
        first, _second = a_department("A"), a_department("B")
        assert admin_client.post(page_of(first), {"name": "C"}).status_code == 302
        assert tree() == [(1, "B"), (1, "C")]
        assert admin_client.post(page_of(first), {"name": "A"}).status_code == 302
        assert tree() == [(1, "A"), (1, "B")]
        assert admin_client.post(page_of(first), {"name": "Aa"}).status_code == 302
        assert tree() == [(1, "Aa"), (1, "B")]

    def test_a_branch_moves_below_another_department_and_to_the_top(self, admin_client):
        works, office = a_department("Works"), a_department("Office")
        hall = a_department("Hall", below=fresh(works))
        a_department("Crane", below=fresh(hall))
        assert admin_client.post(page_of(hall), {"name": "Hall", "parent": office.pk}).status_code == 302
        assert tree() == [(1, "Office"), (2, "Hall"), (3, "Crane"), (1, "Works")]
        assert admin_client.post(page_of(hall), {"name": "Hall", "parent": ""}).status_code == 302
        assert tree() == [(1, "Hall"), (2, "Crane"), (1, "Office"), (1, "Works")]
        assert not any(Department.objects.find_problems())

    def test_a_department_cannot_lie_below_itself(self, admin_client):
        works = a_department("Works")
        hall = a_department("Hall", below=fresh(works))
        response = admin_client.post(page_of(works), {"name": "Works", "parent": hall.pk})
        assert "cannot lie below itself" in response.content.decode()
        assert tree() == [(1, "Works"), (2, "Hall")]

    def test_deleting_says_what_goes_and_takes_those_below(self, admin_client):
        works = a_department("Works", people(2))
        a_department("Hall", people(3, 10), below=fresh(works))
        other = a_department("Office")
        page = admin_client.get(page_of(works, "delete")).content.decode()
        assert "Works › Hall" in page
        assert "Departments: 2" in page.replace("departments", "Departments")
        assert "5" in page
        assert admin_client.post(page_of(works, "delete"), {"post": "yes"}).status_code == 302
        assert list(Department.objects.all()) == [other]
        assert User.objects.filter(username__startswith="p").count() == 5

    def test_several_are_deleted_from_the_list(self, admin_client, admin_user):
        works = a_department("Works")
        Department.objects.filter(pk=works.pk).update(head=admin_user)
        a_department("Hall", below=fresh(works))
        other = a_department("Office")
        chosen = {"action": "delete_selected", "_selected_action": [works.pk], "post": "yes"}
        assert admin_client.post(LIST, chosen).status_code == 302
        assert list(Department.objects.all()) == [other]

    def test_what_names_a_department_is_said_before_it_is_deleted(self, admin_client, sandbox):
        works = a_department("Works")
        hall = a_department("Hall", below=fresh(works))
        preset = a_preset(sandbox)
        preset.departments.add(hall)
        assert "The preset “Fire alarm” stays" in admin_client.get(page_of(works, "delete")).content.decode()
        a_process(step(hall, key="first", title="Chief"))
        page = admin_client.get(page_of(works, "delete")).content.decode()
        assert "Cannot delete department" in page
        assert "Rule: Travel › Chief › " in page
        assert admin_client.post(page_of(works, "delete"), {"post": "yes"}).status_code == 200
        chosen = {"action": "delete_selected", "_selected_action": [works.pk], "post": "yes"}
        assert admin_client.post(LIST, chosen).status_code == 200
        assert Department.objects.count() == 2

    def test_it_works_without_scripts(self, admin_client):
        works = a_department("Works")
        form = {"name": "Hall", "find_parent": "wor", "_refresh": "parent"}
        page = admin_client.post(f"{LIST}add/", form).content.decode()
        assert f'<option value="{works.pk}">Works</option>' in page
        assert 'value="Hall"' in page
        assert "errornote" not in page
        assert Department.objects.count() == 1

    def test_who_may_only_view_changes_nothing(self, client):
        works = a_department("Works", people(1))
        log_in(client, "view_department")
        assert client.get(page_of(works)).status_code == 200
        assert client.post(page_of(works), {"name": "X"}).status_code == 403
        members = page_of(works, "members")
        assert 'name="remove"' not in client.get(members).content.decode()
        assert client.post(members, {"remove": "1", "member": "1"}).status_code == 403
        assert fresh(works).members.count() == 1


class TestMembers:
    def test_who_may_not_view_departments_reads_and_changes_none(self, client):
        works = a_department("Works", [a_person("ada")])
        members = page_of(works, "members")
        log_in(client, "view_notification", "view_suppressednumber")
        for answer in (client.get(members), client.get(members, {"q": "ada"}), client.post(members, {"remove": "1"})):
            assert answer.status_code == 403
            assert "ada" not in answer.content.decode()
        log_in(client, "view_department", name="reader")
        assert "Ada (ada)" in client.get(members).content.decode()

    def test_pages_show_everybody_once(self, admin_client):
        works = a_department("Works", people(230))
        seen, url = [], page_of(works, "members")
        base = url
        while url:
            page = admin_client.get(url).context["page"]
            seen += [member.pk for member in page.rows]
            url = f"{base}{page.next}" if page.next else ""
        assert len(seen) == len(set(seen)) == 230
        assert len(page.rows) == 30
        back = admin_client.get(f"{base}{page.previous}").context["page"]
        assert [member.pk for member in back.rows] == seen[100:200]

    def test_a_page_asks_the_same_of_many(self, admin_client):
        works = a_department("Works", people(5))
        few = queries(admin_client, page_of(works, "members"))
        works.members.add(*people(150, 10))
        assert queries(admin_client, page_of(works, "members")) == few

    def test_people_are_put_in_and_taken_out(self, admin_client):
        works, (one, two, three) = a_department("Works"), people(3)
        members = page_of(works, "members")
        admin_client.post(members, {"users": [one.pk, two.pk], "add": "1"})
        admin_client.post(members, {"users": [two.pk, three.pk], "add": "1"})
        assert set(works.members.all()) == {one, two, three}
        admin_client.post(members, {"member": [str(one.pk), "no key"], "remove": "1"})
        assert set(works.members.all()) == {two, three}
        words = [entry.get_change_message() for entry in LogEntry.objects.order_by("pk")]
        assert words == [
            f"2 people added. ({one.pk}, {two.pk})",
            f"1 person added. ({three.pk})",
            f"1 person removed. ({one.pk})",
        ]

    @pytest.mark.parametrize(
        ("step", "members", "words"),
        [
            ("remove", ["p00001"], "None of them belongs to this department any more."),
            ("remove", [], "Mark whom to remove first."),
            ("add", ["p00000"], "All of them belong to this department already."),
            ("add", [], "Choose whom to add first."),
        ],
    )
    def test_where_nothing_changes_the_words_say_why_and_nothing_is_logged(self, admin_client, step, members, words):
        one, _other = people(2)
        works = a_department("Works", [one])
        pks = list(User.objects.filter(username__in=members).values_list("pk", flat=True))
        fields = {"member" if step == "remove" else "users": pks, step: "1"}
        page = admin_client.post(page_of(works, "members"), fields, follow=True)
        assert [str(message) for message in page.context["messages"]] == [words]
        assert not LogEntry.objects.exists()

    def test_only_members_are_counted_as_removed(self, admin_client):
        one, other = people(2)
        works = a_department("Works", [one])
        answer = admin_client.post(
            page_of(works, "members"), {"member": [one.pk, other.pk], "remove": "1"}, follow=True
        )
        assert "1 person removed." in answer.content.decode()
        assert LogEntry.objects.get().get_change_message() == f"1 person removed. ({one.pk})"

    def test_somebody_is_found_by_the_beginning_of_the_user_name(self, admin_client):
        works = a_department("Works", [a_person("ada"), a_person("adam"), a_person("eve")])
        page = admin_client.get(page_of(works, "members"), {"q": "ada"}).context["page"]
        assert [member.label for member in page.rows] == ["Ada (ada)", "Adam (adam)"]

    def test_without_scripts_people_are_searched_first(self, admin_client):
        works, ada = a_department("Works"), a_person("ada")
        page = admin_client.post(page_of(works, "members"), {"find_users": "ad", "_refresh": "users"})
        assert f'<option value="{ada.pk}">Ada (ada)</option>' in page.content.decode()
        assert not works.members.exists()


class TestFinding:
    def found(self, client, field, term, **more):
        answer = client.get(FIND, {"field_name": field, "term": term, **more})
        assert answer.status_code == 200
        return [each["text"] for each in answer.json()["results"]]

    def test_users_are_found_by_all_words_of_their_names(self, admin_client):
        a_person("ada", last_name="Lovelace")
        a_person("adam", last_name="Smith")
        assert self.found(admin_client, "users", "ada") == ["Ada Lovelace (ada)", "Adam Smith (adam)"]
        assert self.found(admin_client, "users", "love ada") == ["Ada Lovelace (ada)"]

    def test_departments_are_named_with_those_above(self, admin_client):
        works = a_department("Works")
        a_department("Sales", below=fresh(works))
        a_department("Sales")
        assert self.found(admin_client, "departments", "sal") == ["Sales", "Works › Sales"]

    def test_roles_are_found(self, admin_client):
        a_role("Guards")
        assert self.found(admin_client, "roles", "gu") == ["Guards"]

    def test_more_are_fetched_by_pages(self, admin_client):
        people(45)
        first = admin_client.get(FIND, {"field_name": "users", "term": "p0"}).json()
        last = admin_client.get(FIND, {"field_name": "users", "term": "p0", "page": "3"}).json()
        assert (len(first["results"]), first["pagination"]["more"]) == (20, True)
        assert (len(last["results"]), last["pagination"]["more"]) == (5, False)

    @pytest.mark.parametrize("query", [{"field_name": "password"}, {}])
    def test_nothing_else_is_found(self, admin_client, query):
        assert admin_client.get(FIND, query).status_code == 404

    @pytest.mark.parametrize("page", ["0", "-1", "x", "99999", "²"])
    def test_a_strange_page_is_no_error(self, admin_client, page):
        assert admin_client.get(FIND, {"field_name": "users", "term": "\x00", "page": page}).status_code == 200

    @pytest.mark.parametrize(
        ("permission", "status"),
        [("compose_notification", 200), ("change_department", 200), ("view_user", 403), ("view_notification", 403)],
    )
    def test_only_who_may_choose_recipients_finds_them(self, client, permission, status):
        log_in(client, permission)
        assert client.get(FIND, {"field_name": "users", "term": "a"}).status_code == status


class TestSuppressedNumbers:
    def test_any_notation_is_stored_once_and_shown_masked(self, admin_client):
        assert admin_client.post(f"{SUPPRESSED}add/", {"phone_number": "+1 (206) 555-0123"}).status_code == 302
        suppressed = SuppressedNumber.objects.get()
        assert suppressed.phone_number == NUMBER
        again = admin_client.post(f"{SUPPRESSED}add/", {"phone_number": NUMBER})
        assert "is in the list already" in again.content.decode()
        page = admin_client.get(SUPPRESSED).content.decode()
        assert MASKED in page
        assert NUMBER not in page
        change = admin_client.get(f"{SUPPRESSED}{suppressed.pk}/change/").content.decode()
        assert NUMBER not in change
        entry = LogEntry.objects.get()
        assert NUMBER not in f"{entry.object_repr} {entry.change_message}"

    def test_a_wrong_number_is_refused(self, admin_client):
        page = admin_client.post(f"{SUPPRESSED}add/", {"phone_number": "12"}).content.decode()
        assert "not a valid phone number" in page

    def test_a_number_is_looked_up_without_standing_in_any_url(self, admin_client):
        suppressed = SuppressedNumber.objects.create(phone_number=NUMBER)
        found = admin_client.post(f"{SUPPRESSED}find/", {"phone_number": "(206) 555-0123"})
        assert found["Location"] == f"{SUPPRESSED}{suppressed.pk}/change/"
        other = admin_client.post(f"{SUPPRESSED}find/", {"phone_number": "+12065550199"}, follow=True)
        assert other.request["PATH_INFO"] == SUPPRESSED
        assert "+1 206****0199 is not in the list" in other.content.decode()
        assert admin_client.get(f"{SUPPRESSED}find/")["Location"] == SUPPRESSED

    def test_who_may_not_view_them_learns_of_no_number_whether_it_is_there(self, client):
        SuppressedNumber.objects.create(phone_number=NUMBER)
        log_in(client, "view_department", "add_suppressednumber")
        for number in (NUMBER, "+12065550199", "no number"):
            answer = client.post(f"{SUPPRESSED}find/", {"phone_number": number})
            assert (answer.status_code, client.cookies.get("messages")) == (403, None)
        log_in(client, "view_suppressednumber", name="reader")
        assert client.post(f"{SUPPRESSED}find/", {"phone_number": NUMBER}).status_code == 302

    def test_the_list_asks_no_more_of_many_numbers(self, admin_client):
        def grow(start, count):
            for number in range(start, start + count):
                SuppressedNumber.objects.create(phone_number=number_of(number), note="by mail")

        grow(0, 2)
        few = queries(admin_client, SUPPRESSED)
        grow(2, 18)
        assert queries(admin_client, SUPPRESSED) == few
        assert len(admin_client.get(SUPPRESSED).context["cl"].result_list) == 20

    def test_numbers_cannot_be_guessed_by_filters(self, admin_client):
        SuppressedNumber.objects.create(phone_number=NUMBER)
        for lookup in ("phone_number__startswith", "phone_number", "phone_number__exact"):
            assert admin_client.get(SUPPRESSED, {lookup: NUMBER[:5]}).status_code in (302, 400)

    def test_the_note_can_be_changed_and_the_number_cannot(self, admin_client):
        suppressed = SuppressedNumber.objects.create(phone_number=NUMBER)
        url = f"{SUPPRESSED}{suppressed.pk}/change/"
        assert admin_client.post(url, {"note": "by mail", "phone_number": "+12065550124"}).status_code == 302
        suppressed.refresh_from_db()
        assert (suppressed.note, suppressed.phone_number) == ("by mail", NUMBER)

    def test_it_can_be_taken_out(self, admin_client):
        suppressed = SuppressedNumber.objects.create(phone_number=NUMBER)
        url = f"{SUPPRESSED}{suppressed.pk}/delete/"
        assert NUMBER not in admin_client.get(url).content.decode()
        admin_client.post(url, {"post": "yes"})
        assert not SuppressedNumber.objects.exists()


class TestPresets:
    ADD = "/admin/notifications/notificationpreset/add/"

    @pytest.fixture
    def alarm(self, sandbox):
        return create_template(key="alarm", text="${name}: ${device} fails")

    def form(self, sandbox, template, **changes):
        fields = {
            "name": "Alarm",
            "key": "alarm",
            "include_subdepartments": "on",
            "service": sandbox.pk,
            "template": template.pk,
            "variables-name-source": "field:first_name",
            "variables-device-source": "caller",
        }
        return {name: value for name, value in {**fields, **changes}.items() if value is not None}

    def test_literals_and_fields_of_recipients_are_stored_apart(self, admin_client, sandbox, alarm):
        role, ada = a_role("Guards"), a_person("ada")
        form = self.form(
            sandbox,
            alarm,
            roles=role.pk,
            users=ada.pk,
            **{"variables-device-source": "text", "variables-device-text": "Pump"},
        )
        assert admin_client.post(self.ADD, form).status_code == 302
        preset = NotificationPreset.objects.get()
        assert (preset.variables, preset.recipient_fields) == ({"device": "Pump"}, {"name": "first_name"})
        assert (list(preset.users.all()), list(preset.roles.all())) == ([ada], [role])
        page = admin_client.get(f"/admin/notifications/notificationpreset/{preset.pk}/change/").content.decode()
        assert '<option value="field:first_name" selected>' in page
        assert ">\nPump</textarea>" in page

    def test_a_variable_can_be_left_to_the_caller(self, admin_client, sandbox, alarm):
        assert admin_client.post(self.ADD, self.form(sandbox, alarm, users=a_person("ada").pk)).status_code == 302
        assert NotificationPreset.objects.get().variables == {}

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"users": None}, "Choose at least one recipient"),
            ({"variables-name-source": "field:password"}, "name: choose where it comes from"),
            ({"variables-device-source": "text"}, "device: enter what the text says"),
            ({"variables-device-source": "text", "variables-device-text": "x" * 1601}, "at most 1600"),
            ({"key": "not a key"}, "slug"),
        ],
    )
    def test_what_could_not_be_sent_is_refused_with_what_to_do(self, admin_client, sandbox, alarm, changes, words):
        form = self.form(sandbox, alarm, **{"users": a_person("ada").pk, **changes})
        response = admin_client.post(self.ADD, form)
        assert response.status_code == 200
        assert words in response.content.decode()
        assert not NotificationPreset.objects.exists()

    def test_a_sensitive_variable_is_never_kept_with_a_preset(self, admin_client, sandbox):
        door = create_template(key="door", text="Door ${pin}")
        fields = self.form(sandbox, door, users=a_person("ada", "+12065550101").pk)
        literal = {"variables-pin-source": "text", "variables-pin-text": "Zq7Kx9"}
        response = admin_client.post(self.ADD, {**fields, **literal})
        assert "pin: it is sensitive" in response.content.decode()
        assert not NotificationPreset.objects.exists()
        assert admin_client.post(self.ADD, {**fields, "variables-pin-source": "caller"}).status_code == 302

    def test_a_sensitive_variable_that_a_preset_holds_is_neither_shown_nor_sent(self, admin_client, sandbox):
        door = create_template(key="door", text="Door ${pin}")
        preset = NotificationPreset.objects.create(
            key="door", name="Door", service=sandbox, template=door, variables={"pin": "Zq7Kx9"}
        )
        preset.users.add(a_person("ada", "+12065550101"))
        for url in (f"/admin/notifications/notificationpreset/{preset.pk}/change/", f"{COMPOSE}?preset=door"):
            page = admin_client.get(url).content.decode()
            assert "<code>pin</code>" in page
            assert "Zq7Kx9" not in page
        with pytest.raises(InvalidParams, match="pin"):
            notify("door")
        notify("door", variables={"pin": "1234"})

    def test_one_time_codes_and_templates_without_text_are_refused(self, admin_client, sandbox):
        otp = create_template(key="login", text="Code ${code}", purpose="otp")
        bare = create_template(key="bare", text="")
        for template, words in ((otp, "One-time codes cannot"), (bare, "has no text")):
            form = self.form(sandbox, template, users=a_person(template.key).pk, **{"variables-code-source": "caller"})
            assert words in admin_client.post(self.ADD, form).content.decode()
        assert not NotificationPreset.objects.exists()

    def test_another_template_brings_its_variables(self, admin_client, sandbox, alarm):
        other = create_template(key="other", text="${place} is closed")
        form = self.form(sandbox, other, users=a_person("ada", "+12065550100").pk, _refresh="variables")
        page = admin_client.post(self.ADD, form).content.decode()
        assert 'name="variables-place-source"' in page
        assert 'name="variables-device-source"' not in page
        assert "errornote" not in page
        assert "<strong>1</strong> person gets a text" in page
        assert not NotificationPreset.objects.exists()

    def test_the_list_asks_no_more_of_many_presets(self, admin_client, sandbox, alarm):
        def grow(start, count):
            for number in range(start, start + count):
                preset = NotificationPreset.objects.create(
                    key=f"k{number}", name=f"N{number}", service=sandbox, template=alarm
                )
                preset.users.add(*people(2, 10 * number))

        url = "/admin/notifications/notificationpreset/"
        grow(0, 2)
        few = queries(admin_client, url)
        assert "2 users" in admin_client.get(url).content.decode()
        grow(2, 10)
        assert queries(admin_client, url) == few


class TestPresetsByCode:
    def test_a_code_under_review_is_warned_of_and_a_missing_one_is_refused(self, admin_client):
        from sms_services.models import AlibabaCloudSms, TemplateCode

        service = AlibabaCloudSms.objects.create(
            key="cn", name="China", access_key="LTAI5tExampleKey0", access_secret="secret", verify_sign="Example"
        )
        template = create_template(key="news", text="News")
        form = {
            "name": "News",
            "key": "news",
            "service": service.pk,
            "template": template.pk,
            "users": a_person("a").pk,
        }
        page = admin_client.post(TestPresets.ADD, form).content.decode()
        assert "has no template code for" in page
        TemplateCode.objects.create(template=template, service=service, code="SMS_1", platform_status="pending")
        page = admin_client.post(TestPresets.ADD, form, follow=True).content.decode()
        assert "still reviewing SMS_1" in page
        assert NotificationPreset.objects.exists()


def test_the_deletion_of_an_account_says_in_words_what_goes(admin_client, sandbox, broker):
    ada = a_person("ada", "+12065550101")
    a_department("Works", [ada])
    a_preset(sandbox).users.add(ada)
    notification = notify("fire")
    expand(notification.pk)
    page = admin_client.get(reverse("admin:auth_user_delete", args=[ada.pk])).content.decode()
    for words in ("Works – ada", "Fire alarm – ada", f"Notification {notification.pk}"):
        assert words in page, words
    assert not re.search(r"object \(\d+\)", page)
