"""Fixtures of all tests: a closed network, settings, and the servers and the browser that some of them need."""

import os
import shutil
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from django.utils import translation

from . import network
from .replica import ReadsElsewhere
from .services import REQUIRED, SERVICES, reachable

# Modules with assertions that are no test modules themselves.
pytest.register_assert_rewrite(
    "tests.login_browsers",
    "tests.login_under_test",
    "tests.plans",
    "tests.provider_contract",
    "tests.services_under_test",
    "tests.workers",
)
network.block()

# A project of its own, with settings of its own: tests/test_host_project.py runs its suite.
collect_ignore = ["engine_project", "host_project"]

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def pytest_configure(config: pytest.Config) -> None:
    """Load our own pytest plugin from the tree, where no installation has registered it."""
    if not config.pluginmanager.has_plugin("sms_services"):
        from sms_services import pytest_plugin

        config.pluginmanager.register(pytest_plugin, "sms_services")


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """A flushed database gets its permissions back as they were: finding out which there are takes longer than a test.

    Flushing is how tests with transactions of their own end.
    """
    from django.contrib.auth.models import Permission
    from django.contrib.contenttypes.models import ContentType
    from django.core.management.commands import flush

    with django_db_blocker.unblock():
        kept = [(model, list(model._default_manager.all())) for model in (ContentType, Permission)]

    def put_back(verbosity: int, interactive: bool, db: str) -> None:
        for model, rows in kept:
            model._default_manager.using(db).bulk_create(rows)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flush, "emit_post_migrate_signal", put_back)
        yield


@pytest.fixture(autouse=True)
def _closed_network() -> Iterator[None]:
    """Fail a test that reached for the network, whatever became of the error."""
    network.attempts.clear()
    yield
    assert not network.attempts, f"The test tried to reach {', '.join(network.attempts)}."


@pytest.fixture(autouse=True)
def _language_of_its_own() -> Iterator[None]:
    """The language of a test's last request does not outlive the test."""
    yield
    translation.deactivate()


@pytest.fixture(autouse=True)
def _fresh_providers() -> Iterator[None]:
    """No provider, nor a connection of one, outlives its test."""
    from sms_services.providers.cache import forget_providers

    yield
    forget_providers()
    # A later simulator may get the same port; Alibaba Cloud's SDK keeps its sessions by address.
    if core := sys.modules.get("darabonba.core"):
        core.DaraCore._sessions.clear()


@pytest.fixture(autouse=True)
def _fresh_refusals() -> Iterator[None]:
    """No count of refused requests that is not written yet outlives its test."""
    from login_mobile import refusals

    yield
    refusals.gathered = refusals.Gathered()


@pytest.fixture
def sms_settings(settings: Any) -> Callable[..., None]:
    """`sms_settings(THREADS=4, …)` changes settings of `SMS_SERVICES` for this test."""

    def change(**changes: Any) -> None:
        settings.SMS_SERVICES = {**settings.SMS_SERVICES, **changes}

    return change


@pytest.fixture
def unreadable_replica(settings: Any) -> None:
    """Reads of the app go to a replica that does not answer; see `tests/replica.py`."""
    settings.DATABASE_ROUTERS = [ReadsElsewhere()]


def _need(available: Any, reason: str) -> None:
    if not available:
        if REQUIRED:
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)


def _need_service(name: str) -> str:
    _need(reachable(name), SERVICES[name].missing)
    return SERVICES[name].url


@pytest.fixture
def postgresql_url() -> Iterator[str]:
    """The URL of an empty PostgreSQL database, for processes that the test starts."""
    import psycopg

    parts = urlsplit(_need_service("postgresql"))
    name = f"test_sms_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(urlunsplit(parts._replace(path="/postgres")), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        yield urlunsplit(parts._replace(path=f"/{name}"))
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def mariadb_url() -> Iterator[str]:
    """The URL of an empty MariaDB database, for processes that the test starts."""
    import pymysql

    parts = urlsplit(_need_service("mariadb"))
    name = f"test_sms_{uuid.uuid4().hex[:12]}"
    host, port, password = parts.hostname, parts.port or 3306, parts.password or ""
    login = pymysql.connect(host=host, port=port, user=parts.username, password=password)
    with login as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        yield urlunsplit(parts._replace(path=f"/{name}"))
        cursor.execute(f"DROP DATABASE {name}")


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of an empty SQLite database, for processes that the test starts."""
    return f"sqlite:///{tmp_path / 'processes.sqlite3'}"


@pytest.fixture(params=["sqlite_url", "postgresql_url", pytest.param("mariadb_url", marks=pytest.mark.soak)])
def database_url(request: pytest.FixtureRequest) -> str:
    """An empty database of each kind in turn."""
    url: str = request.getfixturevalue(request.param)
    return url


@pytest.fixture
def redis_url() -> Iterator[str]:
    """The URL of an empty Redis database."""
    import redis

    url = _need_service("redis")
    for number in range(15, 0, -1):
        with redis.Redis.from_url(f"{url}/{number}") as client:
            # The marker keeps tests that run at the same time out.
            if client.dbsize() == 0 and client.set("taken-by-tests", "1", nx=True):
                yield f"{url}/{number}"
                client.flushdb()
                return
    pytest.fail("All Redis databases from 1 to 15 hold something. Empty one, or set TEST_REDIS_URL.", pytrace=False)


@pytest.fixture
def rabbitmq_url() -> Iterator[str]:
    """RabbitMQ's URL, with the project's queues empty."""
    from kombu import Connection

    url = _need_service("rabbitmq")

    def empty_queues() -> None:
        with Connection(url) as connection:
            for name in ("sms", "sms-codes"):
                connection.default_channel.queue_delete(name)

    empty_queues()
    yield url
    empty_queues()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium. Of one module: Playwright keeps an event loop in this thread as long as it runs."""
    path = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    _need(path, "Chromium is not installed (tried: " + ", ".join(CHROMIUM_NAMES) + ").")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=20_000)  # other tests run beside it

    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        patch.setitem(os.environ, "DJANGO_ALLOW_ASYNC_UNSAFE", "true")  # because of that loop
        chromium = playwright.chromium.launch(executable_path=path, args=CHROMIUM_ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page of a fresh browser profile. The test fails if a script on it does."""
    errors: list[str] = []
    with browser.new_context(locale="en-US") as context:
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: errors.append(str(error)))
        yield page
    assert not errors, f"JavaScript failed: {'; '.join(errors)}"
