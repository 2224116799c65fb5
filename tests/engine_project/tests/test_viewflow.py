from django.db import transaction
from orders.flows import OrderFlow
from orders.viewflow_texts import text_assignees
from viewflow.workflow.models import Task

from approvals.models import NodeText, TextRecipient
from tests.conftest import texts

TEXT = "Ada asks for your approval: Order"


class Click:
    """What viewflow's views pass on of a request."""

    def __init__(self, user):
        self.user = user


def order(user):
    start = OrderFlow.start
    activation = start.activation_class.create(start, None, None)
    activation.start(Click(user))
    activation.execute()
    return activation.process


def finish(process, name, user):
    task = Task.objects.get(process=process, flow_task=getattr(OrderFlow, name), finished=None)
    with task.activation() as activation:
        if not task.owner:
            activation.assign(user)
        activation.start(Click(user))
        activation.execute()


def test_the_right_people_are_texted_once(office):
    process = order(office.ada)
    assert texts() == [("manager", TEXT)]
    finish(process, "agree", office.manager)
    assert texts() == [("manager", TEXT), ("ben", TEXT), ("cleo", TEXT)]
    for task in Task.objects.filter(flow_task_type="HUMAN"):
        text_assignees(task.flow_task.activation_class(task))  # the same again
    finish(process, "pay", office.cleo)
    assert len(texts()) == 3, "what anybody may do is texted to nobody"
    assert not TextRecipient.objects.filter(handled=False).exists()
    finish(process, "file", office.ada)
    process.refresh_from_db()
    assert process.status == "DONE"


def test_a_rollback_texts_nobody(office):
    with transaction.atomic():
        order(office.ada)
        transaction.set_rollback(True)
    assert (texts(), NodeText.objects.count()) == ([], 0)


def test_what_was_done_before_the_text_left_is_not_texted(office):
    with transaction.atomic():
        process = order(office.ada)
        finish(process, "agree", office.manager)
    assert texts() == [("ben", TEXT), ("cleo", TEXT)]
