from types import SimpleNamespace

import celery_app  # noqa: F401
import pytest
from django.contrib.auth.models import Group, Permission, User

from approvals.models import EngineSms
from login_mobile.models import MobileNumber
from sms_services.choices import Purpose
from sms_services.models import SandboxSms, SmsMessage, SmsTemplate


@pytest.fixture
def office(transactional_db):
    """A manager, two people of accounting, somebody who orders, and a superuser whom none of it concerns."""
    users = {}
    for number, name in enumerate(["ada", "manager", "ben", "cleo", "root"]):
        users[name] = User.objects.create(username=name, first_name=name.title())
        MobileNumber.objects.create(user=users[name], number=f"+1206555012{number}")
    accounting = Group.objects.create(name="accounting")
    accounting.permissions.add(Permission.objects.get(codename="view_user"))
    for name in ("ben", "cleo"):
        users[name].groups.add(accounting)
    User.objects.filter(username="root").update(is_superuser=True)
    Group.objects.create(name="managers").user_set.add(users["manager"])
    service = SandboxSms.objects.create(key="sandbox", name="Sandbox")
    template = SmsTemplate.objects.create(
        key="approval",
        name="Approval",
        purpose=Purpose.APPROVAL,
        text="${userNick} asks for your approval: ${processTitle}",
    )
    for engine, process in (("viewflow", "orders.OrderFlow"), ("spiff", "order")):
        EngineSms.objects.create(engine=engine, process_key=process, sms_service=service, sms_template=template)
    return SimpleNamespace(**users)


def texts():
    """Who got which text."""
    messages = SmsMessage.objects.filter(status="sent").order_by("pk")
    return [(message.recipient.user.username, message.readable_text()) for message in messages]
