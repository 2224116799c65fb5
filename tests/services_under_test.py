"""Services of every kind, each pointed at its simulator, for tests of what holds for all of them.

A test module that uses these fixtures says `pytest_plugins = ["tests.services_under_test"]`. All numbers are
fictional: +1 206 555 01xx, and +86 138 0000 xxxx where many are needed.
"""

from __future__ import annotations

import json
import queue
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from celery import Celery
from celery.contrib.testing.app import setup_default_app
from cryptography.fernet import Fernet
from django.dispatch import Signal
from django.utils import timezone

from sms_services import tasks
from sms_services.choices import Purpose
from sms_services.encryption import Secret
from sms_services.models import (
    AlibabaCloudSms,
    AwsSnsSms,
    SandboxSms,
    SmsMessage,
    SmsService,
    SmsTemplate,
    TemplateCode,
    TwilioSms,
)
from tests.simulators import AlibabaCloudSimulator, AwsSnsSimulator, Simulator, Template, TwilioSimulator

NUMBER = "+12065550123"
OTHER_NUMBER = "+12065550124"
AMERICAN_NUMBERS = [f"+120655501{n:02}" for n in range(100)]
CHINESE_NUMBERS = [f"+861380000{n:04}" for n in range(1000)]
CODE = "904417"

MODELS: dict[type[Simulator], Any] = {
    AlibabaCloudSimulator: AlibabaCloudSms,
    AwsSnsSimulator: AwsSnsSms,
    TwilioSimulator: TwilioSms,
}
#: A refusal of each kind that every provider knows.
RECIPIENT_CODES = {"alibaba_cloud": "isv.MOBILE_NUMBER_ILLEGAL", "aws_sns": "OptedOut", "twilio": "21614"}


def provider_name(simulator: Simulator) -> str:
    name: str = MODELS[type(simulator)].provider_class.name
    return name


def create_service(simulator: Simulator, **changes: Any) -> Any:
    """A saved service with the simulator's credentials; its endpoint is a setting (see `simulator`)."""
    name = provider_name(simulator)
    fields = {"key": name.replace("_", "-"), "name": name.replace("_", " ").title(), **simulator.credentials}
    return MODELS[type(simulator)].objects.create(**{**fields, **changes})


def create_template(
    *services: SmsService,
    key: str = "greeting",
    text: str = "Hello ${name}",
    purpose: str = Purpose.NOTIFICATION,
    code: str = "SMS_100001",
) -> SmsTemplate:
    """A saved template, with a code for each of the services that send by code."""
    template = SmsTemplate.objects.create(key=key, name=key.title(), text=text, purpose=purpose)
    for service in services:
        if service.sends_by_code:
            TemplateCode.objects.create(template=template, service=service, code=code)
    return template


def register(simulator: Simulator, template: SmsTemplate) -> None:
    """Have the platform know a template's wording, if it is one that sends by code: its journal then has texts."""
    if isinstance(simulator, AlibabaCloudSimulator):
        codes = template.codes.values_list("code", flat=True)
        simulator.templates += [Template(code=code, content=template.text) for code in codes]


def queued_messages(
    service: SmsService, template: SmsTemplate, params: Mapping[str, Mapping[str, str]]
) -> list[SmsMessage]:
    """Queued rows with variables of their own by phone number, as a sending to many people creates them."""
    code = template.code_for(service)
    rows = []
    for number, values in params.items():
        row = SmsMessage(
            service_id=service.pk,
            template=template,
            purpose=template.purpose,
            phone_number=number,
            text=template.text,
            template_code=code,
            sweep_at=timezone.now() + timedelta(minutes=5),
        )
        row.set_params(values)
        rows.append(row)
    return SmsMessage.objects.bulk_create(rows)


def due(messages: Iterable[SmsMessage]) -> None:
    """Let the time pass for which these messages wait: for their next try, the sweep or a look-up."""
    past = timezone.now() - timedelta(seconds=1)
    rows = SmsMessage.objects.filter(pk__in=[message.pk for message in messages])
    rows.filter(due_at__isnull=False).update(due_at=past)
    rows.filter(sweep_at__isnull=False).update(sweep_at=past)


def foreign_secret() -> Secret:
    """A stored secret that none of the configured keys opens."""
    return Secret(Fernet(Fernet.generate_key()).encrypt(b"somebody else's").decode())


def all_rows() -> str:
    """Everything that the database holds of this app, as the database would show it to a thief."""
    from django.apps import apps
    from django.db import connection

    lines = []
    with connection.cursor() as cursor:
        for model in apps.get_models(include_auto_created=True):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(model._meta.db_table)}")
            lines += [repr(row) for row in cursor.fetchall()]
    return "\n".join(lines)


@dataclass(frozen=True)
class QueuedTask:
    """A task as it lies in the broker: its name, its arguments, and the whole of what was written."""

    name: str
    args: list[Any]
    kwargs: dict[str, Any]
    raw: str
    has_eta: bool


#: How long whoever queues waits for a broker.
PATIENCE = "sms_services.delivery.broker.PATIENCE"


class Broker:
    """An in-memory broker, and the worker that empties it."""

    def __init__(self, app: Celery) -> None:
        self.app = app

    def take(self, queue_name: str = "sms") -> list[QueuedTask]:
        """Everything that waits in a queue, oldest first."""
        taken = []
        with self.app.connection_for_read() as connection, connection.SimpleQueue(queue_name) as waiting:
            while True:
                try:
                    message = waiting.get_nowait()
                except queue.Empty:
                    return taken
                message.ack()
                args, kwargs, _ = message.payload
                raw = f"{message.body} {json.dumps(message.headers)} {message.properties}"
                taken.append(QueuedTask(message.headers["task"], args, kwargs, raw, bool(message.headers["eta"])))

    def work(self, *queue_names: str) -> int:
        """Do what waits, without waiting for its time; returns how many tasks that were."""
        count = 0
        for name in queue_names or ("sms", "sms-codes"):
            for task in self.take(name):
                self.app.tasks[task.name](*task.args, **task.kwargs)
                count += 1
        return count

    @contextmanager
    def down(self, **options: Any) -> Iterator[None]:
        """Nobody listens at the broker's address. `options` are the transport's."""
        _use(_app("amqp://guest:guest@127.0.0.1:1//", broker_transport_options=options))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(PATIENCE, 0.5)
            yield
        _use(self.app)


def _app(broker_url: str, **configuration: Any) -> Celery:
    """The project's Celery app, on another broker."""
    app = Celery("tests", set_as_current=False)
    app.config_from_object("django.conf:settings", namespace="CELERY")
    app.conf.update(broker_url=broker_url, broker_transport=None, task_always_eager=False, **configuration)
    return app


def _use(app: Celery) -> None:
    app.set_default()
    app.set_current()


@dataclass
class Heard:
    """What the signals said, and of which messages."""

    sent: list[SmsMessage] = field(default_factory=list)
    failed: list[SmsMessage] = field(default_factory=list)


@pytest.fixture
def broker(monkeypatch) -> Iterator[Broker]:
    """The project's Celery app on a broker in memory, which is empty at the start.

    It always answers; on a busy machine, later than anybody would wait for a real one.
    """
    monkeypatch.setattr(PATIENCE, 10.0)
    app = _app("memory://", broker_transport_options={})
    assert tasks.deliver_messages.name == "sms_services.deliver_messages"
    with setup_default_app(app):
        _use(app)
        broker = Broker(app)
        for name in ("sms", "sms-codes"):
            broker.take(name)
        yield broker


@pytest.fixture
def eager(broker) -> None:
    """Tasks run where they are called, and errors come out (``CELERY_TASK_ALWAYS_EAGER``)."""
    broker.app.conf.update(task_always_eager=True, task_eager_propagates=True)


@pytest.fixture
def point_to(sms_settings) -> Callable[..., None]:
    """`point_to(simulator, …)`: send through simulators instead of through the vendors."""

    def point_to(*simulators: Simulator) -> None:
        sms_settings(ENDPOINT_URLS={provider_name(simulator): simulator.url for simulator in simulators})

    return point_to


@pytest.fixture(params=MODELS, ids=lambda simulator_class: MODELS[simulator_class].provider_class.name)
def simulator(request, point_to) -> Iterator[Simulator]:
    """A simulator of each provider in turn."""
    with request.param() as simulator:
        point_to(simulator)
        yield simulator


@pytest.fixture
def service(simulator, broker, db) -> Any:
    """A service of the simulator's kind."""
    return create_service(simulator)


@pytest.fixture
def greeting(service, simulator) -> SmsTemplate:
    """A notification with the variable `name`."""
    template = create_template(service)
    register(simulator, template)
    return template


@pytest.fixture
def otp(service, simulator) -> SmsTemplate:
    """A one-time code with the variable `code`."""
    template = create_template(
        service, key="login", text="Your code is ${code}.", purpose=Purpose.OTP, code="SMS_100002"
    )
    register(simulator, template)
    return template


@pytest.fixture
def alibaba_cloud(point_to) -> Iterator[AlibabaCloudSimulator]:
    with AlibabaCloudSimulator() as simulator:
        point_to(simulator)
        yield simulator


@pytest.fixture
def twilio(point_to) -> Iterator[TwilioSimulator]:
    with TwilioSimulator() as simulator:
        point_to(simulator)
        yield simulator


@pytest.fixture
def sandbox(broker, db) -> SandboxSms:
    """The service without a vendor: for what has nothing to do with any."""
    return SandboxSms.objects.create(key="sandbox", name="Sandbox")


@pytest.fixture
def heard() -> Iterator[Heard]:
    """What both signals say during the test."""
    from sms_services.signals import message_failed, message_sent

    heard = Heard()
    signals: list[tuple[Signal, list[SmsMessage]]] = [(message_sent, heard.sent), (message_failed, heard.failed)]
    receivers = []
    for signal, messages in signals:

        def receive(sender: Any, message: SmsMessage, into: list[SmsMessage] = messages, **kwargs: Any) -> None:
            into.append(message)

        signal.connect(receive, weak=False)
        receivers.append((signal, receive))
    yield heard
    for signal, receive in receivers:
        signal.disconnect(receive)
