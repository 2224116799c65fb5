"""Processes and their steps in admin."""

import re
from html import unescape

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from approvals.api import approve, send_back, submit
from approvals.models import EngineSms, Node, NodeText, Process, Rule
from sms_services.models import AlibabaCloudSms, SandboxMessage, SandboxSms, SmsTemplate, TemplateCode
from tests.approval_processes import a_process, step, task_of
from tests.people import a_department, a_person, a_role

pytestmark = pytest.mark.django_db

TEXT = "${userNick} asks you to approve: ${processTitle}"
ALIBABA = {"access_key": "LTAI5tAbCdEfGhIjKlMnOpQr", "access_secret": "s" * 30, "verify_sign": "Sign"}


@pytest.fixture
def process():
    return Process.objects.create(key="travel", title="Travel request")


@pytest.fixture
def sandbox():
    return SandboxSms.objects.create(key="sandbox", name="Sandbox")


@pytest.fixture
def template():
    return SmsTemplate.objects.create(key="approve", name="Approve", text=TEXT, purpose="approval")


def node_data(process, rules=(), **fields):
    data = {
        "process": process.pk,
        "title": "Manager",
        "key": "",
        "kind": "approval",
        "mode": "any",
        "condition": "",
        "nobody_found": "pause",
        "initiator_policy": "ask",
        "repeat_policy": "ask",
        "approve_comment": "optional",
        "reject_comment": "required",
        "may_return": "on",
        "return_comment": "optional",
        "may_transfer": "on",
        "transfer_comment": "none",
        "remind_after_number": "2",
        "remind_after_unit": "days",
        "escalate_after_number": "",
        "escalate_after_unit": "hours",
        "escalate_to": "",
        "escalate_resolver": "",
        "sms_service": "",
        "sms_template": "",
        "rules-TOTAL_FORMS": len(rules),
        "rules-INITIAL_FORMS": 0,
    }
    for number, rule in enumerate(rules):
        data |= {f"rules-{number}-{name}": value for name, value in {"position": number, **rule}.items()}
    return {**data, **fields}


def add_node(client, process, rules=(), **fields):
    return client.post(reverse("admin:approvals_node_add"), node_data(process, rules, **fields))


def permit(user, *codenames):
    """Give somebody these permissions, and no others."""
    permissions = Permission.objects.filter(codename__in=codenames)
    assert len(permissions) == len(codenames)
    user.user_permissions.set(permissions)


def errors_of(response):
    assert response.status_code == 200, response.headers
    return response.context["adminform"].form.errors


def test_a_new_process_leads_to_its_steps(admin_client):
    data = {
        "title": "Leave",
        "key": "leave",
        "description": "",
        "is_active": "on",
        "has_start_page": "on",
        "withdraw_policy": "never",
        "remind_interval_number": "90",
        "remind_interval_unit": "minutes",
    }
    assert "Save it first; then you add its steps" in admin_client.get(reverse("admin:approvals_process_add")).text
    response = admin_client.post(reverse("admin:approvals_process_add"), data)
    process = Process.objects.get()
    assert response.url == f"{reverse('admin:approvals_process_change', args=[process.pk])}#steps"
    assert process.remind_interval.total_seconds() == 90 * 60
    page = admin_client.get(response.url).text
    assert "There are no steps yet" in page
    assert "Save it first" not in page
    assert f"{reverse('admin:approvals_node_add')}?process={process.pk}" in page


def test_a_step_is_added_with_its_rules_and_its_text(admin_client, process, sandbox, template):
    person, department, role = a_person("ann"), a_department("Finance"), a_role("Managers")
    rules = [
        {"source": "department", "department": department.pk, "include_subdepartments": "on", "user": person.pk},
        {"source": "role", "group": role.pk},
        {"source": "user", "user": person.pk},
        {"source": "initiator"},
        {"source": "subject_field", "subject_field": "owner"},
    ]
    response = add_node(admin_client, process, rules, sms_service=sandbox.pk, sms_template=template.pk)
    assert response.status_code == 302
    assert response.url == reverse("admin:approvals_process_change", args=[process.pk])
    node = Node.objects.get()
    assert (node.key, node.position, node.remind_after.days, node.sms_template) == ("step-1", 0, 2, template)
    found = list(node.rules.values_list("source", "user", "department", "group", "subject_field"))
    assert found == [
        ("department", None, department.pk, None, ""),  # what belongs to another choice is dropped
        ("role", None, None, role.pk, ""),
        ("user", person.pk, None, None, ""),
        ("initiator", None, None, None, ""),
        ("subject_field", None, None, None, "owner"),
    ]
    add_node(admin_client, process, title="Second")
    assert list(process.nodes.values_list("key", "position")) == [("step-1", 0), ("step-2", 1)]


def test_a_rule_that_names_nobody_is_refused(admin_client, process):
    response = add_node(admin_client, process, [{"source": "department"}])
    assert "department" in response.context["inline_admin_formsets"][0].formset.errors[0]


def test_a_step_has_both_service_and_template_or_neither(admin_client, process, sandbox, template):
    assert "sms_template" in errors_of(add_node(admin_client, process, sms_service=sandbox.pk))
    assert "sms_service" in errors_of(add_node(admin_client, process, sms_template=template.pk))
    assert not Node.objects.exists()


@pytest.mark.parametrize("text", ["${userNick} asks", "${processTitle} ${userNick} ${amount}", "Hello"])
def test_a_template_with_other_variables_is_refused(admin_client, process, sandbox, text):
    other = SmsTemplate.objects.create(key="other", name="Other", text=text)
    errors = errors_of(add_node(admin_client, process, sms_service=sandbox.pk, sms_template=other.pk))
    assert "exactly ${processTitle}, ${userNick}" in errors["sms_template"][0]


def test_a_service_needs_what_it_sends_by(admin_client, process, sandbox, template):
    alibaba = AlibabaCloudSms.objects.create(key="main", name="Main", **ALIBABA)
    errors = errors_of(add_node(admin_client, process, sms_service=alibaba.pk, sms_template=template.pk))
    assert "has no template code for “Main”" in errors["sms_template"][0]
    by_code = SmsTemplate.objects.create(key="code", name="Code", variables="processTitle, userNick")
    TemplateCode.objects.create(template=by_code, service=alibaba, code="SMS_1")
    errors = errors_of(add_node(admin_client, process, sms_service=sandbox.pk, sms_template=by_code.pk))
    assert "has no text" in errors["sms_template"][0]
    response = add_node(admin_client, process, sms_service=alibaba.pk, sms_template=by_code.pk)
    assert response.status_code == 302


@pytest.mark.parametrize(("status", "words"), [("pending", "still reviewing"), ("rejected", "has rejected")])
def test_a_code_that_is_not_approved_is_warned_of(admin_client, process, template, status, words):
    alibaba = AlibabaCloudSms.objects.create(key="main", name="Main", **ALIBABA)
    TemplateCode.objects.create(template=template, service=alibaba, code="SMS_1", platform_status=status)
    response = admin_client.post(
        reverse("admin:approvals_node_add"),
        node_data(process, sms_service=alibaba.pk, sms_template=template.pk),
        follow=True,
    )
    assert any(words in str(message) for message in response.context["messages"])
    step = response.context["steps"][0]
    assert any(words in problem for problem in step.problems)
    page = admin_client.get(reverse("admin:approvals_node_change", args=[step.node.pk]))
    assert any(words in warning for warning in page.context["warnings"])


def test_what_is_warned_of_is_what_the_template_itself_says(template):
    service, other = (AlibabaCloudSms.objects.create(key=key, name=key, **ALIBABA) for key in ("main", "other"))
    TemplateCode.objects.create(template=template, service=service, code="SMS_1", platform_status="rejected")
    assert "rejected" in str(template.problem_with(service))
    assert str(template.unapproved_by(service)) == str(template.problem_with(service))
    assert template.problem_with(other)
    assert template.unapproved_by(other) is None, "that a code is missing is an error"


def test_the_form_previews_the_text_as_it_is_chosen(admin_client, process, sandbox, template):
    response = add_node(admin_client, process, sms_service=sandbox.pk, sms_template=template.pk, _refresh="text")
    assert not Node.objects.exists()
    assert "Alex asks you to approve: Travel request" in response.text
    assert not response.context["errors"]


def test_a_test_is_sent_through_the_steps_service(admin_client, process, sandbox, template):
    node = Node.objects.create(process=process, key="a", title="A", sms_service=sandbox, sms_template=template)
    url = reverse("admin:approvals_node_test", args=[node.pk])
    assert url in admin_client.get(reverse("admin:approvals_node_change", args=[node.pk])).text
    form = admin_client.get(url).context["form"]
    assert form.initial == {"processTitle": "Travel request", "userNick": "admin"}
    assert not SandboxMessage.objects.exists()
    data = {"phone_number": "+1 206 555 0100", "processTitle": "Travel", "userNick": "Zoë"}
    response = admin_client.post(url, data, follow=True)
    assert response.context["sent"].status == "sent"
    assert "Zoë asks you to approve: Travel" in SandboxMessage.objects.get().text.reveal()
    sent = response.context["sent"]
    record = LogEntry.objects.get()
    assert record.get_edited_object() == node
    assert record.change_message == f"Test sent as message {sent.pk}."
    assert reverse("admin:sms_services_smsmessage_change", args=[sent.pk]) in response.text

    # Nobody else learns the outcome, nor does anybody by a message's id.
    assert admin_client.get(f"{url}?message={sent.pk}").context["sent"] is None
    address = response.redirect_chain[-1][0]
    admin_client.force_login(User.objects.create_superuser("other"))
    assert admin_client.get(address).context["sent"] is None


def link_of_test(page):
    """Where the form of a step leads to test what is chosen."""
    found = re.search(r'<a href="([^"]*)"[^>]*>Send test SMS</a>', page)
    return found and unescape(found[1])


@pytest.fixture
def test_data():
    return {"phone_number": "+1 206 555 0100", "processTitle": "Travel", "userNick": "Zoë"}


@pytest.mark.parametrize("is_new", [False, True])
def test_a_test_is_sent_of_what_is_chosen_and_not_saved(admin_client, process, sandbox, template, is_new, test_data):
    node = None
    page = reverse("admin:approvals_node_add")
    if not is_new:
        node = Node.objects.create(process=process, key="a", title="A", sms_service=sandbox, sms_template=template)
        page = reverse("admin:approvals_node_change", args=[node.pk])
    else:
        assert link_of_test(admin_client.get(f"{page}?process={process.pk}").text) is None, "nothing is chosen"
    other = SandboxSms.objects.create(key="other", name="Other")
    words = SmsTemplate.objects.create(key="new", name="New", text="New: ${processTitle} of ${userNick}")
    data = node_data(process, sms_service=other.pk, sms_template=words.pk, _refresh="text")
    url = link_of_test(admin_client.post(page, data).text)
    shown = admin_client.get(url)
    assert "“New” through Other:" in shown.text
    assert shown.context["form"].initial["processTitle"] == "Travel request"
    action = unescape(re.search(r'<form method="post" action="(/admin/approvals[^"]*)"', shown.text)[1])
    assert action == url
    assert not SandboxMessage.objects.exists()
    sent = admin_client.post(action, test_data, follow=True)
    assert sent.context["sent"].service_id == other.pk
    assert "“New” through Other:" in sent.text
    assert SandboxMessage.objects.get().text.reveal() == "New: Travel of Zoë"
    record = LogEntry.objects.get()
    assert record.get_edited_object() == (process if is_new else node)
    assert record.change_message == f"Test sent as message {sent.context['sent'].pk}."
    assert list(Node.objects.values_list("sms_service", flat=True)) == ([] if is_new else [sandbox.pk])


def test_what_a_step_cannot_text_is_not_sent_as_a_test(admin_client, process, sandbox, template, test_data):
    node = Node.objects.create(process=process, key="a", title="A", sms_service=sandbox, sms_template=template)
    alibaba = AlibabaCloudSms.objects.create(key="main", name="Main", **ALIBABA)
    inactive = SandboxSms.objects.create(key="off", name="Off", is_active=False)
    amount = SmsTemplate.objects.create(key="amount", name="Amount", text=f"{TEXT} ${{amount}}")
    code = SmsTemplate.objects.create(key="code", name="Code", text=TEXT, purpose="otp")
    pages = [reverse("admin:approvals_node_test", args=[node.pk])]
    pages.append(reverse("admin:approvals_node_test_new", args=[process.pk]))
    for url in pages:
        for service, chosen, words in (
            (sandbox, amount, "must take exactly ${processTitle}, ${userNick}"),
            (alibaba, template, "has no template code for “Main”"),
            (inactive, template, "deactivated"),
        ):
            address = f"{url}?service={service.pk}&template={chosen.pk}"
            shown, refused = admin_client.get(address), admin_client.post(address, test_data)
            assert words in "".join(refused.context["form"].non_field_errors())
            if service != inactive:  # which may be chosen, for the day on which it is active
                assert words in unescape(shown.text)
                assert "asks you to approve" not in shown.text + refused.text
        for query in (
            f"service={sandbox.pk}&template={code.pk}",
            f"service={sandbox.pk}",
            f"template={template.pk}",
            "service=9999&template=x",
            "service=&template=",
        ):
            assert admin_client.get(f"{url}?{query}").status_code == 404
            assert admin_client.post(f"{url}?{query}", test_data).status_code == 404
    assert admin_client.get(pages[1]).status_code == 404
    assert not SandboxMessage.objects.exists()
    assert not LogEntry.objects.exists()


def test_what_is_stored_and_became_a_one_time_code_is_not_shown(admin_client, process, sandbox, template, test_data):
    node = Node.objects.create(process=process, key="a", title="A", sms_service=sandbox, sms_template=template)
    url = reverse("admin:approvals_node_test", args=[node.pk])
    assert "asks you to approve" in admin_client.get(url).text
    SmsTemplate.objects.update(purpose="otp")
    for shown in (admin_client.get(url), admin_client.post(url, test_data)):
        assert "one-time codes" in shown.text
        assert "asks you to approve" not in shown.text
    assert not SandboxMessage.objects.exists()


def test_the_form_of_a_step_shows_no_one_time_codes(admin_client, process, sandbox):
    code = SmsTemplate.objects.create(key="code", name="Code", text=TEXT, purpose="otp")
    response = add_node(admin_client, process, sms_service=sandbox.pk, sms_template=code.pk, _refresh="text")
    assert "asks you to approve" not in response.text
    assert link_of_test(response.text) is None
    assert "one-time codes" in str(
        errors_of(add_node(admin_client, process, sms_service=sandbox.pk, sms_template=code.pk))
    )


@pytest.mark.parametrize("is_new", [False, True])
def test_who_may_not_choose_a_text_tests_only_what_is_stored(client, process, sandbox, template, is_new, test_data):
    node = Node.objects.create(process=process, key="a", title="A", sms_service=sandbox, sms_template=template)
    other = SmsTemplate.objects.create(key="new", name="New", text=TEXT)
    name, pk = ("approvals_node_test_new", process.pk) if is_new else ("approvals_node_test", node.pk)
    url = f"{reverse(f'admin:{name}', args=[pk])}?service={sandbox.pk}&template={other.pk}"
    needed = "add_node" if is_new else "change_node"
    staff = a_person("ed", is_staff=True)
    client.force_login(staff)
    permit(staff, "send_test_smsservice", *({"view_node", "add_node", "change_node"} - {needed}))
    assert client.get(url).status_code == 403
    assert client.post(url, test_data).status_code == 403
    permit(staff, needed)
    assert client.post(url, test_data).status_code == 403
    assert not SandboxMessage.objects.exists()
    permit(staff, "send_test_smsservice", needed)
    assert client.post(url, test_data).status_code == 302
    assert SandboxMessage.objects.count() == 1


def test_who_only_looks_at_a_step_tests_what_is_stored(client, process, sandbox, template):
    node = Node.objects.create(process=process, key="a", title="A", sms_service=sandbox, sms_template=template)
    staff = a_person("ed", is_staff=True)
    client.force_login(staff)
    permit(staff, "send_test_smsservice", "view_node")
    page = client.get(reverse("admin:approvals_node_change", args=[node.pk])).text
    assert link_of_test(page) == reverse("admin:approvals_node_test", args=[node.pk])


def test_who_may_not_send_tests_sends_none(client, process, sandbox, template):
    node = Node.objects.create(process=process, key="a", title="A", sms_service=sandbox, sms_template=template)
    user = a_person("ed", is_staff=True)
    user.user_permissions.add(*Permission.objects.filter(content_type__app_label="approvals"))
    client.force_login(user)
    url = reverse("admin:approvals_node_test", args=[node.pk])
    assert url not in client.get(reverse("admin:approvals_node_change", args=[node.pk])).text
    assert client.post(url, {}).status_code == 403


def test_who_may_not_look_at_steps_sends_no_tests_of_them(client, process, sandbox, template):
    node = Node.objects.create(process=process, key="a", title="A", sms_service=sandbox, sms_template=template)
    url = reverse("admin:approvals_node_test", args=[node.pk])
    data = {"phone_number": "+1 206 555 0100", "processTitle": "Travel", "userNick": "Zoë"}
    staff = a_person("ed", is_staff=True)
    client.force_login(staff)
    permit(staff, "send_test_smsservice")
    assert client.get(url).status_code == 403
    assert client.post(url, data).status_code == 403
    assert not SandboxMessage.objects.exists()
    permit(staff, "send_test_smsservice", "view_node")
    assert client.get(url).status_code == 200


def test_steps_are_moved(admin_client, process):
    nodes = [Node.objects.create(process=process, key=key, title=key) for key in "abc"]
    url = reverse("admin:approvals_process_order", args=[process.pk])
    assert admin_client.get(url).url == reverse("admin:approvals_process_change", args=[process.pk])

    def order():
        return "".join(process.nodes.order_by("position", "pk").values_list("key", flat=True))

    admin_client.post(url, {"move": f"{nodes[2].pk}:up"})
    assert order() == "acb"
    admin_client.post(url, {"move": f"{nodes[0].pk}:down"})
    assert order() == "cab"
    for nothing in (f"{nodes[2].pk}:up", f"{nodes[1].pk}:down", "99999:up", f"{nodes[0].pk}:aside", ""):
        admin_client.post(url, {"move": nothing})
        assert order() == "cab"


@pytest.mark.parametrize(
    "codenames", [["view_process", "view_node"], ["change_process", "view_node"], ["view_process", "change_node"]]
)
def test_who_may_not_change_a_process_and_its_steps_moves_none(client, process, codenames):
    first, second = (Node.objects.create(process=process, key=key, title=key) for key in "ab")
    staff = a_person("ed", is_staff=True)
    permit(staff, *codenames)
    client.force_login(staff)
    url, move = reverse("admin:approvals_process_order", args=[process.pk]), {"move": f"{second.pk}:up"}
    assert client.post(url, move).status_code == 403
    assert list(process.nodes.order_by("position", "pk")) == [first, second]
    permit(staff, "change_process", "change_node")
    assert client.post(url, move).status_code == 302
    assert list(process.nodes.order_by("position", "pk")) == [second, first]


def test_moving_a_step_writes_no_outdated_title_back(admin_client, process):
    nodes = [Node.objects.create(process=process, key=key, title=key) for key in "ab"]

    def rename(execute, sql, *more):
        if "SAVEPOINT" in sql and not renamed:  # between the view's look at the process, and its lock
            renamed.append(True)
            Process.objects.update(title="Renamed meanwhile")
        return execute(sql, *more)

    renamed = []
    with connection.execute_wrapper(rename):
        admin_client.post(reverse("admin:approvals_process_order", args=[process.pk]), {"move": f"{nodes[1].pk}:up"})
    assert renamed
    process.refresh_from_db()
    assert process.title == "Renamed meanwhile"


def test_a_copy_is_inactive_and_has_a_key_of_its_own(admin_client, process, sandbox, template):
    person = a_person("ann")
    node = Node.objects.create(process=process, key="a", title="A", sms_service=sandbox, sms_template=template)
    Rule.objects.create(node=node, source="user", user=person)
    for key in ("travel-copy", "travel-copy-2"):
        response = admin_client.post(reverse("admin:approvals_process_copy", args=[process.pk]))
        copy = Process.objects.get(key=key)
        assert response.url == reverse("admin:approvals_process_change", args=[copy.pk])
        assert not copy.is_active
        assert [(each.key, each.sms_template, each.rules.get().user) for each in copy.nodes.all()] == [
            ("a", template, person)
        ]
    process.refresh_from_db()
    assert process.is_active
    assert process.nodes.get().rules.count() == 1
    Process.objects.update(title="T" * 100)
    admin_client.post(reverse("admin:approvals_process_copy", args=[process.pk]))
    assert Process.objects.get(key="travel-copy-3").title == "T" * 93 + " (copy)"
    copies = Process.objects.count()
    address = admin_client.get(reverse("admin:approvals_process_copy", args=[process.pk]))
    assert address.url == reverse("admin:approvals_process_change", args=[process.pk])
    assert Process.objects.count() == copies


@pytest.mark.parametrize("missing", ["add_process", "add_node", "add_rule", "view_process"])
def test_who_may_not_add_all_that_a_process_consists_of_copies_none(client, process, missing):
    needed = {"add_process", "add_node", "add_rule", "view_process"}
    staff = a_person("ed", is_staff=True)
    client.force_login(staff)
    url = reverse("admin:approvals_process_copy", args=[process.pk])
    page = reverse("admin:approvals_process_change", args=[process.pk])
    selected = {"action": "copy_selected", "_selected_action": [process.pk]}
    permit(staff, *needed - {missing})
    assert client.post(url).status_code == 403
    client.post(reverse("admin:approvals_process_changelist"), selected)
    assert Process.objects.get() == process
    assert url not in client.get(page).text
    permit(staff, *needed)
    assert url in client.get(page).text
    client.post(url)
    client.post(reverse("admin:approvals_process_changelist"), selected)
    assert Process.objects.count() == 3


def test_the_flow_is_drawn(admin_client, process, sandbox, template):
    node = Node.objects.create(
        process=process, key="a", title="Both <managers> & 财务部门的所有负责人请尽快审批这个申请谢谢大家", mode="all"
    )
    Rule.objects.create(node=node, source="role", group=a_role("Managers"))
    Node.objects.create(process=process, key="b", title="Told", kind="cc", position=1)
    response = admin_client.get(reverse("admin:approvals_process_change", args=[process.pk]))
    picture = response.context["picture"]
    assert [box.is_cc for box in picture.boxes] == [False, True]
    assert picture.boxes[0].y + picture.boxes[0].height < picture.boxes[1].y < picture.end
    assert "All, at once: role Managers" in response.text
    assert "Both &lt;managers&gt;" in response.text
    assert " style=" not in response.text.split("approvals-picture", 1)[1].split("</svg>")[0]


def test_people_are_found_by_those_who_edit_steps(admin_client, client):
    a_person("ann")
    url = f"{reverse('admin:approvals_find')}?field_name=users&term=an"
    assert [each["text"] for each in admin_client.get(url).json()["results"]] == ["Ann (ann)"]
    client.force_login(a_person("ed", is_staff=True))
    assert client.get(url).status_code == 403


def test_other_engines_get_their_texts(admin_client, sandbox, template):
    data = {"engine": "viewflow", "process_key": "order", "node_key": "", "sms_service": sandbox.pk}
    url = reverse("admin:approvals_enginesms_add")
    other = SmsTemplate.objects.create(key="other", name="Other", text="Hello")
    assert "sms_template" in errors_of(admin_client.post(url, {**data, "sms_template": other.pk}))
    assert admin_client.post(url, {**data, "sms_template": template.pk}).status_code == 302
    assert EngineSms.objects.get().node_key == ""


def test_the_list_of_processes_has_a_constant_number_of_queries(admin_client, django_assert_num_queries):
    def ask(count):
        for number in range(count):
            process = Process.objects.create(key=f"p{count}-{number}", title=f"P {number}")
            Node.objects.create(process=process, key="a", title="A")
        with django_assert_num_queries(5):
            admin_client.get(reverse("admin:approvals_process_changelist"))

    ask(1)
    ask(20)


def test_a_processs_page_has_a_constant_number_of_queries(admin_client, process, sandbox, template):
    alibaba = AlibabaCloudSms.objects.create(key="main", name="Main", **ALIBABA)
    url = reverse("admin:approvals_process_change", args=[process.pk])
    admin_client.get(url)

    def queries(count):
        for number in range(count):
            own = SmsTemplate.objects.create(key=f"t{count}-{number}", name="Own", text=TEXT, purpose="approval")
            TemplateCode.objects.create(
                template=own, service=alibaba, code=f"SMS_{count}{number}", platform_status="rejected"
            )
            for service in (sandbox, alibaba):
                key = f"{service.key}-{count}-{number}"
                Node.objects.create(process=process, key=key, title=key, sms_service=service, sms_template=own)
        with CaptureQueriesContext(connection) as captured:
            steps = admin_client.get(url).context["steps"]
        assert [len(each.problems) for each in steps] == [1, 2] * (len(steps) // 2)
        return len(captured)

    queries(1)  # Django looks up kinds of rows once
    assert queries(2) == queries(9)


@pytest.mark.parametrize("codename", ["change", "view"])
def test_a_steps_page_has_a_constant_number_of_queries(client, process, codename):
    node = Node.objects.create(process=process, key="a", title="A", escalate_to=a_person("eve"))
    url = reverse("admin:approvals_node_change", args=[node.pk])
    staff = a_person("ed", is_staff=True)
    permit(staff, f"{codename}_node", f"{codename}_rule")
    client.force_login(staff)
    company = a_department("Company")

    def queries(count):
        for number in range(count):
            name = f"{count}-{number}"
            Rule.objects.create(node=node, source="user", user=a_person(f"ann-{name}"))
            Rule.objects.create(node=node, source="role", group=a_role(f"Role {name}"))
            office = a_department(f"Office {name}", below=company)
            Rule.objects.create(node=node, source="department", department=office)
        with CaptureQueriesContext(connection) as captured:
            page = client.get(url).text
        assert f"ann-{count}-{count - 1}" in page
        assert f"Role {count}-{count - 1}" in page
        assert f"Office {count}-{count - 1}" in page
        assert codename == "view" or f"Company › Office {count}-{count - 1}" in page
        return len(captured)

    queries(1)  # Django looks up kinds of rows once
    company.refresh_from_db()
    assert queries(2) == queries(10)


@pytest.mark.parametrize("model", ["enginesms", "node"])
def test_lists_of_what_is_texted_have_a_constant_number_of_queries(admin_client, model):
    url = reverse(f"admin:approvals_{model}_changelist")
    admin_client.get(url)

    def queries(count):
        for number in range(count):
            name = f"{count}-{number}"
            texting = {
                "sms_service": SandboxSms.objects.create(key=f"s-{name}", name=f"Sandbox {name}"),
                "sms_template": SmsTemplate.objects.create(key=f"t-{name}", name=f"Template {name}", text=TEXT),
            }
            process = Process.objects.create(key=name, title=f"Process {name}")
            Node.objects.create(process=process, key="a", title="A", **texting)
            EngineSms.objects.create(engine="other", process_key=name, node_key="a", **texting)
        with CaptureQueriesContext(connection) as captured:
            page = admin_client.get(url).text
        shown = ["Process"] if model == "node" else ["Sandbox", "Template"]
        assert all(f"{words} {count}-{count - 1}" in page for words in shown)
        return len(captured)

    assert queries(2) == queries(20)


@pytest.mark.parametrize(("model", "queries"), [("request", 5), ("task", 4), ("event", 4), ("nodetext", 4)])
def test_lists_to_look_at_have_a_constant_number_of_queries(admin_client, django_assert_num_queries, model, queries):
    people = [a_person(name) for name in ("ann", "bob", "cid")]
    process = a_process(step(*people[1:], title="Manager", mode="all"))
    admin_client.get(reverse(f"admin:approvals_{model}_changelist"))
    for count in (1, 15):
        for number in range(count):
            row = submit(process, people[0], title=f"Trip {count}-{number}")
            NodeText.objects.create(
                event_id=f"{row.pk}",
                process_title="Trip",
                node_key="step-1",
                kind="approval",
                reason="reached",
                request=row,
            )
        with django_assert_num_queries(queries):
            response = admin_client.get(reverse(f"admin:approvals_{model}_changelist"))
        assert len(response.context["cl"].result_list) >= count
        assert f"Trip {count}-{count - 1}" in response.text, "its request"
        assert "approvals-cards" in response.text.partition("<body")[2].partition(">")[0]
        if model == "nodetext":
            assert '<td class="field-step">Manager</td>' in response.text


def columns(page):
    return re.findall(r'<th scope="col">(.*?)</th>', page.partition("approvals-table")[2])


@pytest.mark.parametrize(
    ("kind", "field", "words"),
    [("returned", "more", "“First”"), ("paused", "more", "Nobody was found"), ("reached", "about", "Bob")],
)
def test_an_event_is_shown_in_words(admin_client, kind, field, words):
    bob, cid = a_person("bob"), a_person("cid")
    process = a_process(step(bob, title="First"), step(cid), step(a_role("Empty")))
    row = submit(process, a_person("ann"))
    approve(task_of(row, bob), bob)
    send_back(task_of(row, cid), cid, "step-1")
    for person in (bob, cid):
        approve(task_of(row, person), person)
    event = row.events.filter(kind=kind).first()
    page = admin_client.get(reverse("admin:approvals_event_change", args=[event.pk])).text
    assert words in page.partition(f"field-{field}")[2].partition("</div>\n")[0]
    assert "Event id" in page
    assert event.event_id in page
    assert "{" not in page.partition("<fieldset")[2].partition("</fieldset>")[0]


def test_a_request_is_looked_at_and_not_changed(admin_client):
    ann, bob = a_person("ann"), a_person("bob")
    data = {"reason": "<b>Talks</b>", "cost": {"train": 98.5}, "guests": ["Zoë", "Max"], "paid": False}
    row = submit(a_process(step(bob, title="Manager")), ann, title="To Rome", data=data)
    approve(task_of(row, bob), bob, "Good idea")
    url = reverse("admin:approvals_request_change", args=[row.pk])
    shown = admin_client.get(url).text
    for words in ("To Rome", "Manager", "Good idea", reverse("approvals:request", args=[row.pk])):
        assert words in shown
    for pair in ("<dt>reason</dt><dd>&lt;b&gt;Talks", "<dt>train</dt><dd>98.5</dd>", "<li>Zoë</li>", "<dd>No</dd>"):
        assert pair in shown
    assert columns(shown)[:6] == ["Step", "Person", "Status", "Handled by", "Their turn since", "Ended"]
    assert columns(shown)[6:] == ["When", "What", "Who", "Step", "About", "Comment"]
    chinese = admin_client.get(url, HTTP_ACCEPT_LANGUAGE="zh-hans").text
    assert columns(chinese)[6:] == ["时间", "操作", "操作人", "步骤", "相关人员", "意见"]
    assert "进行中" not in chinese
    assert admin_client.post(url, {"title": "To Paris"}).status_code == 403
    for model in ("request", "task", "event", "nodetext"):
        assert admin_client.get(reverse(f"admin:approvals_{model}_add")).status_code == 403
    for model in ("request", "task", "event"):
        assert "Show all" not in admin_client.get(reverse(f"admin:approvals_{model}_changelist")).text
    paused = admin_client.get(reverse("admin:approvals_request_changelist") + "?paused=1")
    assert "0 results (<a" in paused.text
    assert not paused.context["cl"].result_list
    assert f'<a href="{reverse("approvals:todo")}">Approvals inbox</a>' in paused.text.partition("object-tools")[2]


def test_the_texts_of_a_request_are_named_to_those_who_may_view_them(client):
    row = submit(a_process(step(a_person("bob"))), a_person("ann"))
    NodeText.objects.create(event_id="1", process_title="Trip", node_key="step-1", request=row)
    url = reverse("admin:approvals_request_change", args=[row.pk])
    texts = f"{reverse('admin:approvals_nodetext_changelist')}?request__id__exact={row.pk}"
    staff = a_person("ed", is_staff=True)
    client.force_login(staff)
    permit(staff, "view_request")
    page = client.get(url)
    assert "1 text" not in page.text
    assert texts not in page.text
    permit(staff, "view_request", "view_nodetext")
    assert texts in client.get(url).text


def test_a_process_in_use_is_made_inactive_instead_of_deleted(admin_client):
    ann, bob = a_person("ann"), a_person("bob")
    used, unused = a_process(step(bob), title="Travel"), a_process(step(bob), key="leave")
    for title in ("Rome", "Oslo"):
        submit(used, ann, title=title)
    words = "“Travel” cannot be deleted: 2 requests use it. Make it inactive instead."
    url = reverse("admin:approvals_process_delete", args=[used.pk])
    selected = {"action": "delete_selected", "_selected_action": [used.pk, unused.pk]}
    for post in ({}, {"post": "yes"}):
        alone = admin_client.post(url, post)
        together = admin_client.post(reverse("admin:approvals_process_changelist"), {**selected, **post})
        for page in (alone, together):
            assert words in page.text
            assert "permission" not in page.text
    assert Process.objects.count() == 2
    admin_client.post(reverse("admin:approvals_process_delete", args=[unused.pk]), {"post": "yes"})
    assert Process.objects.get() == used


def test_the_start_page_is_offered_to_those_who_may_begin_a_request(client, admin_client):
    role = a_role("Sales")
    process = a_process(step(a_person("ann")), start_role=role)
    staff = a_person("staff", is_staff=True)
    staff.user_permissions.set(Permission.objects.filter(codename="view_process"))
    client.force_login(staff)

    def offered(visitor):
        page = visitor.get(reverse("admin:approvals_process_change", args=[process.pk])).content.decode()
        return reverse("approvals:start", args=[process.key]) in page

    assert not offered(client)
    assert offered(admin_client)
    role.user_set.add(staff)
    assert offered(client)
    process.nodes.all().delete()
    assert not offered(client)
    assert not offered(admin_client)
