"""What a run needs, and takes away again: simulators, temporary databases, a process for each design."""

import json
import os
import secrets
import subprocess
import sys
import tempfile
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from tests.services import SERVICES, reachable
from tests.simulators import AlibabaCloudSimulator, AwsSnsSimulator, TwilioSimulator
from tests.workers import Console, Project, add_service, add_template

from .designs import TEMPLATE, TEXT
from .figures import Figures

ROOT = Path(__file__).resolve().parent.parent
PROVIDERS = {
    "twilio": ("Twilio", TwilioSimulator),
    "aws_sns": ("AWS SNS", AwsSnsSimulator),
    "alibaba_cloud": ("Alibaba Cloud", AlibabaCloudSimulator),
}
LATENCIES = (0.0, 0.05)


@dataclass(frozen=True, eq=False)
class Target:
    """A provider's simulator with its latency."""

    provider: str
    latency: float
    url: str
    credentials: dict[str, str]

    @property
    def name(self) -> str:
        return PROVIDERS[self.provider][0]

    @property
    def connections(self) -> int:
        """TCP connections that it has taken so far."""
        with urllib.request.urlopen(f"{self.url}/_simulator/journal") as answer:
            return int(json.load(answer)["connections"])

    def clear(self) -> None:
        """Have it forget what it took, so that it does not grow with the run."""
        urllib.request.urlopen(urllib.request.Request(f"{self.url}/_simulator/clear", data=b"")).close()


@dataclass(frozen=True)
class Environment:
    """``bare`` is the process of the bare SDKs; ``naive`` and ``ours`` have one per database.

    Ours has one per latency, too: a service has one endpoint per process, and one that changes is a new client.
    """

    targets: Sequence[Target]
    bare: Console
    naive: Mapping[str, Console]
    ours: Mapping[tuple[str, float], Console]
    _opened: Counter[tuple[str, int]] = field(default_factory=Counter)

    @property
    def databases(self) -> list[str]:
        return list(self.naive)

    def measure(self, target: Target, console: Console, function: Callable[..., Figures], *args: object) -> Figures:
        """One repetition in a process, which talks to this simulator only."""
        target.clear()
        before = target.connections
        figures = console.call(function, *args)
        self._opened[target.url, id(console)] += target.connections - before
        return figures

    def connections(self, target: Target, console: Console) -> int:
        """TCP connections that a process has opened to a simulator so far."""
        return self._opened[target.url, id(console)]

    def targets_at(self, latency: float) -> list[Target]:
        return [target for target in self.targets if target.latency == latency]


@contextmanager
def environment() -> Iterator[Environment]:
    """Everything started; everything ended and dropped with the block, whatever happens in it."""
    with ExitStack() as ends:
        folder = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="sms-bench-")))
        targets = [ends.enter_context(simulator(name, latency)) for name in PROVIDERS for latency in LATENCIES]
        urls = {"SQLite": f"sqlite:///{folder / 'bench.sqlite3'}"}
        if reachable("postgresql"):
            urls["PostgreSQL"] = ends.enter_context(postgresql_database())
        projects = {
            name: ends.enter_context(Project(_subfolder(folder, name), database=url, broker="memory://"))
            for name, url in urls.items()
        }
        ours = {(name, latency): projects[name].console() for name in projects for latency in LATENCIES}
        naive = {name: project.console() for name, project in projects.items()}
        bare = projects["SQLite"].console()
        for console in naive.values():
            for target in targets:
                if target.latency == LATENCIES[0]:
                    console.call(add_service, target.provider, target.credentials)
            console.call(add_template, TEMPLATE, text=TEXT)
        yield Environment(targets, bare, naive, ours)


def _subfolder(folder: Path, name: str) -> Path:
    (folder / name).mkdir()
    return folder / name


@contextmanager
def simulator(provider: str, latency: float) -> Iterator[Target]:
    command = [sys.executable, "-m", "tests.simulators", provider, "--latency", str(latency)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        if not url:
            raise RuntimeError(f"The simulator of {provider} did not start.")
        yield Target(provider, latency, url, PROVIDERS[provider][1]().credentials)
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def postgresql_database() -> Iterator[str]:
    """The URL of an empty database that is dropped afterwards."""
    name = f"sms_bench_{secrets.token_hex(6)}"
    parts = urlsplit(SERVICES["postgresql"].url)
    server = urlunsplit(parts._replace(path="/postgres"))
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield urlunsplit(parts._replace(path=f"/{name}"))
        finally:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
