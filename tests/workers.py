"""The reference project as real processes: workers, a beat, and consoles that call functions.

    with Project(tmp_path, database=postgresql_url, broker=redis_url, **endpoints(twilio=simulator)) as project:
        worker = project.worker()
        console = project.console()
        console.call(queue, "twilio", numbers, "greeting", {"name": "Ada"})
        eventually(lambda: len(simulator.journal) == len(numbers), within=30)
        worker.kill()

Whatever was started ends with the block, also when the test fails, and with pytest itself when that is killed. What the
processes wrote is printed, so that pytest shows it with a failure.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, Self, TypeVar

import kombu
from django.db.models import Count

from sms_services.api import queue_message
from sms_services.choices import MessageStatus, Purpose
from sms_services.models import AlibabaCloudSms, AwsSnsSms, SmsMessage, SmsService, SmsTemplate, TemplateCode, TwilioSms
from tests import migrated
from tests.simulators import AlibabaCloudSimulator, AwsSnsSimulator, Simulator, TwilioSimulator

P = ParamSpec("P")
T = TypeVar("T")

SIMULATORS: dict[str, type[Simulator]] = {
    "alibaba_cloud": AlibabaCloudSimulator,
    "aws_sns": AwsSnsSimulator,
    "twilio": TwilioSimulator,
}
MODELS: dict[str, type[SmsService]] = {"alibaba_cloud": AlibabaCloudSms, "aws_sns": AwsSnsSms, "twilio": TwilioSms}

ROOT = Path(__file__).resolve().parent.parent
STARTS_WITHIN = 60.0
ANSWERS_WITHIN = 120.0
LOG_TAIL = 60
#: Reads process groups, and kills them when whoever writes them is gone.
GUARD = 'while read -r group; do groups="$groups -$group"; done; kill -s KILL -- $groups 2>&-'


def eventually(condition: Callable[[], T], *, within: float, every: float = 0.02) -> T:
    """What `condition` returns once that is true; an AssertionError if it does not become so in time."""
    deadline = time.monotonic() + within
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"not within {within:g} s: {answer!r}"
        time.sleep(every)
    return answer


def endpoints(**simulators: Simulator) -> dict[str, str]:
    """The environment that leads each provider's SDK to its simulator."""
    return {f"SMS_{name.upper()}_ENDPOINT_URL": simulator.url for name, simulator in simulators.items()}


def chinese_numbers(count: int, start: int = 0) -> list[str]:
    """Fictional numbers, up to 10,000 of them."""
    return [f"+861380000{number:04}" for number in range(start, start + count)]


class Project:
    """The reference project with queues and keys of its own; a context manager.

    `folder` holds its keys and its logs. `database` is the URL of an empty database. `imports` are modules that
    workers import as they do an app's `tasks`. What else is given becomes the processes' environment. A process may get
    another `broker`: one that is, by some way of its own, the same.
    """

    def __init__(
        self, folder: Path, *, database: str, broker: str, imports: Sequence[str] = (), **environment: object
    ) -> None:
        self.folder = folder
        self.broker = broker
        self.prefix = f"test-{secrets.token_hex(6)}-"
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "ignore:You're running the worker",
            "DJANGO_SETTINGS_MODULE": "tests.worker_settings",
            "TEST_PREFIX": self.prefix,
            "TEST_IMPORTS": ",".join(imports),
            "DATABASE_URL": database,
            "DATA_DIR": str(folder),
            "CELERY_BROKER_URL": broker,
            "SMS_LOG_LEVEL": "WARNING",
            **{name: str(value) for name, value in environment.items()},
        }
        self._processes: list[Process] = []
        self._ends = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as ends:
            self._guard = subprocess.Popen(["sh", "-c", GUARD], stdin=subprocess.PIPE, start_new_session=True)
            ends.callback(self._dismiss_guard)
            ends.callback(self._delete_queues)
            ends.callback(self._end_processes)
            self._migrate()
            self._ends = ends.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ends.close()

    def _migrate(self) -> None:
        database = self.environment["DATABASE_URL"], self.environment["DJANGO_SETTINGS_MODULE"]
        if migrated.fill(*database):
            return
        migrate = self._started(Process("migrate", self, ["manage.py", "migrate", "--verbosity", "0"]))
        assert migrate.wait(STARTS_WITHIN) == 0, migrate.log
        migrated.keep(*database)

    def worker(self, *, codes: bool = True, others: bool = True, concurrency: int = 1, broker: str = "") -> Worker:
        """Start a prefork worker for one-time codes, for everything else, or for both."""
        queues = [f"{self.prefix}sms-codes"] * codes + [f"{self.prefix}sms"] * others
        return self._started(Worker(f"worker-{len(self._processes)}", self, queues, concurrency, broker))

    def beat(self, *, broker: str = "") -> Process:
        """Start what calls the sweep; `SMS_SWEEP_SECONDS` says how often."""
        command = ["-m", "celery", "--quiet", "-A", "config", "beat", "--pidfile="]
        return self._started(Process(f"beat-{len(self._processes)}", self, command, broker))

    def console(self, *, broker: str = "") -> Console:
        """Start a process that calls functions for this one."""
        return self._started(Console(f"console-{len(self._processes)}", self, broker))

    def _started(self, process: AnyProcess) -> AnyProcess:
        self._processes.append(process)
        process.start()
        assert self._guard.stdin is not None
        self._guard.stdin.write(f"{process.pid}\n".encode())
        self._guard.stdin.flush()
        return process

    def _dismiss_guard(self) -> None:
        with self._guard:
            self._guard.kill()

    def _end_processes(self) -> None:
        for process in self._processes:
            process.kill()  # a worker that is asked to end takes seconds
            print("\n".join([f"----- {process.name}", *process.log.splitlines()[-LOG_TAIL:]]))

    def _delete_queues(self) -> None:
        if not self.broker.startswith("amqp"):
            return
        with kombu.Connection(self.broker) as connection:
            for name in ("sms", "sms-codes"):
                connection.default_channel.queue_delete(f"{self.prefix}{name}")
                connection.default_channel.exchange_delete(f"{self.prefix}{name}")


class Process:
    """One process of the project with all its children: a process group of its own, so that nothing of it stays."""

    def __init__(self, name: str, project: Project, command: Sequence[str], broker: str = "") -> None:
        self.name = name
        self._command = [sys.executable, *command]
        self._environment = {**project.environment, **({"CELERY_BROKER_URL": broker} if broker else {})}
        self._log = project.folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, pass_fds: Sequence[int] = ()) -> None:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=pass_fds,
            )

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        """What it has written."""
        return self._log.read_text(errors="replace")

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def wait(self, within: float) -> int:
        """Its exit code."""
        assert self._process is not None
        return self._process.wait(within)

    def kill(self) -> None:
        """`kill -9`, for it and all its children."""
        if self._process is None:
            return
        self._signal(signal.SIGKILL)
        self.wait(10)

    def stop(self, within: float = 10.0) -> None:
        """Let it end, and kill what is left after these seconds."""
        if self._process is None:
            return
        self._signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self.wait(within)
        self.kill()

    def _signal(self, number: int) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)


class Worker(Process):
    """A Celery worker with prefork children."""

    def __init__(self, name: str, project: Project, queues: Sequence[str], concurrency: int, broker: str) -> None:
        command = ["-m", "celery", "--quiet", "-A", "config", "worker", f"--hostname={name}@{project.prefix}"]
        options = [f"--queues={','.join(queues)}", f"--concurrency={concurrency}"]
        alone = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        super().__init__(name, project, [*command, *options, *alone], broker)

    @property
    def ready(self) -> bool:
        """Whether it takes tasks."""
        assert self.alive, f"{self.name} has ended.\n{self.log}"
        return " ready." in self.log

    def wait_until_ready(self) -> Self:
        eventually(lambda: self.ready, within=STARTS_WITHIN)
        return self

    def tasks_done(self, name: str = "sms_services.deliver_messages") -> int:
        """How many tasks of a name it has executed."""
        return sum(f"Task {name}[" in line and " succeeded in " in line for line in self.log.splitlines())


class Console(Process):
    """A long-running process of the project that calls functions of modules for this one, one after the other."""

    def __init__(self, name: str, project: Project, broker: str) -> None:
        self._connection, self._theirs = Pipe()
        command = "import django, sys; django.setup(); from tests.workers import answer; answer(int(sys.argv[1]))"
        super().__init__(name, project, ["-c", command, str(self._theirs.fileno())], broker)

    def start(self, *, pass_fds: Sequence[int] = ()) -> None:
        super().start(pass_fds=[self._theirs.fileno(), *pass_fds])
        self._theirs.close()

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What the function returns there; an AssertionError with the traceback if it raises.

        Function, arguments and answer are pickled.
        """
        self.begin(function, *args, **kwargs)
        answer: T = self.result()
        return answer

    def begin(self, function: Callable[P, Any], *args: P.args, **kwargs: P.kwargs) -> None:
        """Call a function; `result()` waits for what it returns."""
        self._connection.send((function, args, kwargs))

    def result(self, within: float | None = None) -> Any:
        assert self._connection.poll(within or ANSWERS_WITHIN), f"{self.name} does not answer.\n{self.log}"
        try:
            returned, answer = self._connection.recv()
        except EOFError:
            raise AssertionError(f"{self.name} has ended.\n{self.log}") from None
        assert returned, f"In {self.name}:\n{answer}"
        return answer

    def stop(self, within: float = 10.0) -> None:
        self._connection.close()
        super().stop(within)

    def kill(self) -> None:
        self._connection.close()
        super().kill()


AnyProcess = TypeVar("AnyProcess", bound=Process)


def answer(descriptor: int) -> None:
    """The console's side: call what is asked for, until the other side is closed."""
    connection = Connection(descriptor)
    while True:
        try:
            function, args, kwargs = connection.recv()
        except EOFError:
            return
        try:
            reply = (True, function(*args, **kwargs))
        except Exception:  # goes to whoever asked
            reply = (False, traceback.format_exc())
        connection.send(reply)


# What a console can be asked


class Row(NamedTuple):
    """What is known of one message. `failed_tries`: how many were refused, not sent or in doubt."""

    phone_number: str
    purpose: str
    status: str
    error_kind: str
    provider_code: str
    provider_message_id: str
    claim: str
    failed_tries: int


def add_service(provider: str, credentials: Mapping[str, str], *, max_per_second: int | None = None) -> None:
    """A service that has its provider's name as its key."""
    MODELS[provider].objects.create(key=provider, name=provider, max_per_second=max_per_second, **credentials)


def add_template(key: str, *, text: str, purpose: str = Purpose.NOTIFICATION) -> None:
    """A template that every service can send."""
    template = SmsTemplate.objects.create(key=key, name=key, text=text, purpose=purpose)
    for service in AlibabaCloudSms.objects.all():
        TemplateCode.objects.create(template=template, service=service, code=f"SMS_{100_000 + template.pk}")


def queue(service: str, numbers: Sequence[str], template: str, params: Mapping[str, str]) -> float:
    """Queue a text; returns how many seconds that took."""
    before = time.monotonic()
    queue_message(service, numbers, template, params)
    return time.monotonic() - before


def rows(service: str) -> list[Row]:
    """All messages of a service, in the order in which they were queued."""
    messages = SmsMessage.objects.filter(service__key=service).annotate(failed_tries=Count("attempts")).order_by("pk")
    return [Row(*values) for values in messages.values_list(*Row._fields)]


def statuses() -> Counter[str]:
    """How many messages have which status."""
    return Counter(SmsMessage.objects.values_list("status", flat=True))


def nothing_under_way() -> bool:
    """Whether every message is final, or in doubt for good."""
    under_way = SmsMessage.objects.filter(status__in=[MessageStatus.QUEUED, MessageStatus.SENDING])
    to_be_looked_up = SmsMessage.objects.filter(status=MessageStatus.UNKNOWN, sweep_at__isnull=False)
    return not under_way.exists() and not to_be_looked_up.exists()
