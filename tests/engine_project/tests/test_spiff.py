from io import BytesIO

import pytest
from django.db import transaction
from lxml import etree
from orders.spiff_texts import after_completion, after_steps
from SpiffWorkflow.bpmn.parser.BpmnParser import BpmnParser
from SpiffWorkflow.bpmn.serializer import BpmnWorkflowSerializer
from SpiffWorkflow.bpmn.workflow import BpmnWorkflow
from SpiffWorkflow.util.task import TaskState

from approvals.models import NodeText
from tests.conftest import texts

TEXT = "Ada asks for your approval: Order"
BPMN = """<?xml version="1.0" encoding="UTF-8"?>
<definitions xmlns="http://www.omg.org/spec/BPMN/20100524/MODEL" targetNamespace="http://example.com/orders">
  <collaboration id="orders"><participant id="company" name="Company" processRef="order"/></collaboration>
  <process id="order" name="Order" isExecutable="true">
    <laneSet id="lanes">
      <lane id="lane1" name="managers"><flowNodeRef>start</flowNodeRef><flowNodeRef>agree</flowNodeRef></lane>
      <lane id="lane2" name="accounting"><flowNodeRef>pay</flowNodeRef></lane>
    </laneSet>
    <startEvent id="start"><outgoing>f1</outgoing></startEvent>
    <userTask id="agree" name="Agree"><incoming>f1</incoming><outgoing>f2</outgoing></userTask>
    <userTask id="pay" name="Pay"><incoming>f2</incoming><outgoing>f3</outgoing></userTask>
    <userTask id="file" name="File it, whoever passes by"><incoming>f3</incoming><outgoing>f4</outgoing></userTask>
    <endEvent id="end"><incoming>f4</incoming></endEvent>
    <sequenceFlow id="f1" sourceRef="start" targetRef="agree"/>
    <sequenceFlow id="f2" sourceRef="agree" targetRef="pay"/>
    <sequenceFlow id="f3" sourceRef="pay" targetRef="file"/>
    <sequenceFlow id="f4" sourceRef="file" targetRef="end"/>
  </process>
</definitions>"""


@pytest.fixture
def workflow():
    parser = BpmnParser()
    parser.add_bpmn_xml(etree.parse(BytesIO(BPMN.encode())))
    return BpmnWorkflow(parser.get_spec("order"))


def complete(workflow, name):
    (task,) = workflow.get_tasks(state=TaskState.READY, manual=True, spec_name=name)
    task.run()
    workflow.do_engine_steps()
    return task


def test_the_right_people_are_texted_once(office, workflow):
    workflow.do_engine_steps()
    after_steps(workflow, initiator=office.ada)
    assert texts() == [("manager", TEXT)]
    task = complete(workflow, "agree")
    serializer = BpmnWorkflowSerializer()
    workflow = serializer.deserialize_json(serializer.serialize_json(workflow))  # as it is stored between requests
    for _ in range(3):
        after_completion(task)
        after_steps(workflow, initiator=office.ada)
    assert texts() == [("manager", TEXT), ("ben", TEXT), ("cleo", TEXT)]
    complete(workflow, "pay")
    after_steps(workflow, initiator=office.ada)
    assert len(texts()) == 3, "a task outside all lanes texts nobody"
    complete(workflow, "file")
    assert workflow.is_completed()


def test_a_rollback_texts_nobody(office, workflow):
    workflow.do_engine_steps()
    with transaction.atomic():
        after_steps(workflow, initiator=office.ada)
        transaction.set_rollback(True)
    assert (texts(), NodeText.objects.count()) == ([], 0)


def test_what_was_done_before_the_text_left_is_not_texted(office, workflow):
    workflow.do_engine_steps()
    with transaction.atomic():
        after_steps(workflow, initiator=office.ada)
        after_completion(complete(workflow, "agree"))
        after_steps(workflow, initiator=office.ada)
    assert texts() == [("ben", TEXT), ("cleo", TEXT)]
