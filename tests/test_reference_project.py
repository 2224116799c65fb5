"""The reference project as it starts on a machine that knows nothing of it: in fresh processes and folders."""

import json
import os
import shlex
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from queue import Empty
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.core.management import CommandError, call_command
from django.urls import reverse
from kombu import Connection

from approvals.api import approve
from approvals.models import NodeText, Process, Request, Task
from config.demo_approvals import make_approvals
from login_mobile.models import MobileLogin
from notifications.models import Department, NotificationPreset
from sms_services.choices import Purpose
from sms_services.models import SandboxMessage, SandboxSms, SmsMessage, SmsTemplate

ROOT = Path(__file__).resolve().parent.parent
SDKS = ("boto3", "botocore", "twilio", "alibabacloud", "darabonba", "Tea", "requests", "aiohttp")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment with nothing of ours in it but a data folder that does not exist yet."""
    return {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "DATA_DIR": str(tmp_path / "data dir+1")}


@pytest.fixture(scope="module")
def migrated_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder after `migrate`, to be copied."""
    folder = tmp_path_factory.mktemp("migrated") / "data dir+1"
    environment = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "DATA_DIR": str(folder)}
    manage(environment, "migrate", "--verbosity", "0")
    return folder


@pytest.fixture
def migrated(environment: dict[str, str], migrated_folder: Path) -> dict[str, str]:
    """The environment, with the data folder as `migrate` leaves it."""
    shutil.copytree(migrated_folder, environment["DATA_DIR"])
    return environment


def run(environment: Mapping[str, str], *arguments: str, code: int = 0) -> str:
    """Run Python in the project's folder; returns what it printed."""
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stdout + done.stderr


def manage(environment: Mapping[str, str], *arguments: str, code: int = 0) -> str:
    return run(environment, "manage.py", *arguments, code=code)


def evaluate(environment: Mapping[str, str], expression: str) -> Any:
    """The value of an expression that sees ``settings``; several of them as a list."""
    program = f"import json; from config import settings; print(json.dumps(({expression}), default=str))"
    return json.loads(run(environment, "-c", program))


# Starting


def test_after_migrate_alone_a_text_can_be_sent_and_admin_opens(migrated):
    program = """
from django.contrib.auth.models import User
from django.test import Client
from sms_services.models import SandboxSms
SandboxSms.objects.create(key="sandbox", name="Sandbox")
client = Client(headers={"host": "localhost"})
client.force_login(User.objects.create_superuser("admin"))
for url in ("/admin/", "/admin/sms_services/smsservice/", "/sms/sandbox/"):
    assert client.get(url).status_code == 200, url
"""
    manage(migrated, "shell", "--verbosity", "0", "--command", program)
    table = manage(migrated, "send_sms", "sandbox", "(206) 555-0100", "--text", "Hello")
    assert "+1 206****0100  sent" in table


@pytest.mark.django_db
def test_browsers_find_an_icon_on_pages_that_name_none(client):
    answer = client.get("/favicon.ico", follow=True)
    assert (answer.status_code, answer["Content-Type"]) == (200, "image/svg+xml")


def test_checks_find_nothing(migrated):
    assert "no issues" in manage(migrated, "check", "--database", "default", "--fail-level", "WARNING")


def test_checks_for_deployment_find_nothing_behind_https(environment):
    assert "no issues" in manage({**environment, "HTTPS": "on"}, "check", "--deploy", "--fail-level", "WARNING")


def test_starting_with_all_apps_imports_no_sdk(environment):
    program = """
import sys
import django
from config.celery import app
django.setup()
from django.contrib import admin
from django.core.checks import run_checks
run_checks()
app.loader.import_default_modules()
assert "sms_services.deliver_messages" in app.tasks and admin.site._registry
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""
    modules = run({**environment, "DJANGO_SETTINGS_MODULE": "config.settings"}, "-c", program).split()
    assert "sms_services" in modules
    assert [name for name in modules if name.startswith(SDKS)] == []


def test_starting_with_all_apps_and_urls_imports_no_table_of_numbers_or_countries(environment):
    program = """
import importlib, sys
import django
django.setup()
importlib.import_module("config.urls")
assert "login_mobile.pages.login" in sys.modules and "login_mobile.admin.forms" in sys.modules
print(*sorted({"babel", "phonenumbers"} & set(sys.modules)), "none")
"""
    assert run({**environment, "DJANGO_SETTINGS_MODULE": "config.settings"}, "-c", program).split() == ["none"]


# Keys


def test_keys_are_made_once_and_readable_by_their_owner_only(environment):
    keys = "[settings.SECRET_KEY, settings.SMS_SERVICES['ENCRYPTION_KEYS']]"
    first = evaluate(environment, keys)
    assert evaluate(environment, keys) == first
    for name in ("secret_key", "sms_encryption_key"):
        assert Path(environment["DATA_DIR"], name).stat().st_mode & 0o777 == 0o600


def test_processes_that_start_at_once_agree_on_the_keys(environment):
    program = "from config import settings; print(settings.SECRET_KEY, settings.SMS_SERVICES['ENCRYPTION_KEYS'])"
    command = [sys.executable, "-c", program]
    starting = [subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE) for _ in range(8)]
    printed = {process.communicate()[0] for process in starting}
    assert [process.returncode for process in starting] == [0] * 8
    assert len(printed) == 1
    assert not list(Path(environment["DATA_DIR"]).glob("*key.*"))


# Settings


def test_without_an_environment_everything_lies_in_the_data_folder(environment):
    data = environment["DATA_DIR"]
    values = evaluate(
        environment,
        "settings.DATABASES['default']['NAME'], settings.CELERY_BROKER_TRANSPORT_OPTIONS['data_folder_in'], "
        "settings.STATIC_ROOT, settings.DEBUG, settings.HTTPS",
    )
    assert values == [f"{data}/db.sqlite3", f"{data}/broker/queue", f"{data}/static", False, False]


def test_settings_come_from_the_environment(environment):
    environment |= {
        "DATABASE_URL": "postgresql://someone:secret@db.internal:6432/texts?sslmode=require",
        "CACHE_URL": "rediscache://cache.internal:6379/1",
        "CELERY_BROKER_URL": "amqp://mq.internal//",
        "SECRET_KEY": "from the environment",
        "SMS_ENCRYPTION_KEYS": "first,second",
        "SMS_TWILIO_ENDPOINT_URL": "http://127.0.0.1:9070",
        "SMS_RECONCILE_DELAYS": "1,2.5",
        "SMS_SENDING_TIMEOUT": "7.5",
        "DEBUG": "on",
    }
    database, cache, broker, transport, secret_key, debug, ours = evaluate(
        environment,
        "settings.DATABASES['default'], settings.CACHES['default']['LOCATION'], settings.CELERY_BROKER_URL, "
        "getattr(settings, 'CELERY_BROKER_TRANSPORT', ''), settings.SECRET_KEY, settings.DEBUG, "
        "settings.SMS_SERVICES",
    )
    assert (database["HOST"], database["PORT"], database["NAME"]) == ("db.internal", 6432, "texts")
    assert database["OPTIONS"] == {"sslmode": "require"}
    assert cache == "redis://cache.internal:6379/1"
    assert (broker, transport) == ("amqp://mq.internal//", "")
    assert (secret_key, debug) == ("from the environment", True)
    assert ours["ENCRYPTION_KEYS"] == ["first", "second"]
    assert ours["ENDPOINT_URLS"] == {"twilio": "http://127.0.0.1:9070"}
    assert (ours["RECONCILE_DELAYS"], ours["SENDING_TIMEOUT"]) == ([1.0, 2.5], 7.5)
    assert not list(Path(environment["DATA_DIR"]).glob("*key"))


def test_mariadb_is_used_through_pymysql_where_mysqlclient_is_missing(environment):
    environment["DATABASE_URL"] = "mysql://someone@db.internal/texts"
    program = "import config.settings, django.db.backends.mysql.base as base; print(base.Database.__name__)"
    assert run(environment, "-c", program).strip() in {"pymysql", "MySQLdb"}


# The broker in a folder


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Connection]:
    names = {"data_folder_in": "queue", "data_folder_out": "queue", "processed_folder": "taken", "control_folder": "c"}
    options = {option: str(tmp_path / name) for option, name in names.items()}
    for path in options.values():
        Path(path).mkdir(exist_ok=True)
    with Connection("filesystem://localhost", transport="config.broker:Transport", transport_options=options) as opened:
        yield opened


def test_no_reader_of_the_broker_meets_a_half_written_task(folder):
    tasks = 3000
    program = f"""
from kombu import Connection
options = {folder.transport_options!r}
channel = Connection("filesystem://localhost", transport="config.broker:Transport", transport_options=options).channel()
for number in range({tasks}):
    channel._put("sms", {{"number": number, "padding": "x" * 1000}})
"""
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings"}
    writer = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, env=environment)
    taken: list[int] = []

    def read() -> None:
        channel = folder.clone().channel()
        while len(taken) < tasks and writer.poll() in {None, 0}:
            with suppress(Empty):
                taken.append(channel._get("sms")["number"])

    with ThreadPoolExecutor(2) as pool:
        for reader in [pool.submit(read) for _ in range(2)]:
            reader.result()
    assert writer.wait() == 0
    assert sorted(taken) == list(range(tasks))


# `make run`


@contextmanager
def processes_of(environment: Mapping[str, str], *names: str) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes of the Procfile, stopped as Ctrl-C stops them."""
    commands = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
    started = [
        subprocess.Popen(shlex.split(commands[name].removeprefix("exec ")), cwd=ROOT, env=environment) for name in names
    ]
    try:
        yield started
    finally:
        for process in started:
            process.terminate()
        try:
            for process in started:
                process.wait(10)
        finally:
            for process in started:
                process.kill()


def statuses(environment: Mapping[str, str]) -> list[str]:
    """Of all messages to one number."""
    rows = "SELECT status FROM sms_services_smsmessage WHERE phone_number = '+12065550123' ORDER BY id"
    with closing(sqlite3.connect(Path(environment["DATA_DIR"], "db.sqlite3"))) as connection:
        return [status for (status,) in connection.execute(rows)]


def test_the_workers_of_make_run_deliver_at_once_and_stop_when_asked(migrated):
    environment = {**migrated, "DEBUG": "on"}
    manage(environment, "demo")
    old = len(statuses(environment))
    texts = [("--text", "Hello"), ("--template", "login-code", "--var", "code=493817", "--var", "minutes=5")]
    with processes_of(environment, "worker", "codes") as started:
        for text in texts:
            manage(environment, "send_sms", "sandbox", "+12065550123", *text, "--queue")
        deadline = time.monotonic() + 20
        while "queued" in statuses(environment)[old:] and time.monotonic() < deadline:
            time.sleep(0.05)
        assert statuses(environment)[old:] == ["sent"] * 2
    assert [process.returncode for process in started] == [0, 0]


@pytest.mark.django_db(transaction=True)
class TestDemo:
    def test_it_refuses_outside_debug(self, settings):
        settings.DEBUG = False
        with pytest.raises(CommandError, match="DEBUG=on"):
            call_command("demo")
        assert not User.objects.exists()

    def test_it_shows_logins_that_work(self, settings, client, capsys):
        settings.DEBUG = True
        call_command("demo", port=8000)
        shown = capsys.readouterr().out
        for name in ("admin", "support"):
            assert f"{name} / {name}" in shown
            assert client.login(username=name, password=name)
            assert client.get("/admin/sms_services/smsservice/").status_code == 200
            assert client.get(f"/approvals/requests/{Request.objects.get().pk}/").status_code == 200
            login = reverse("admin:login_mobile_mobilelogin_test", args=[MobileLogin.objects.get().pk])
            assert client.get(login).status_code == 200
            for model in admin.site._registry:  # `support` may look at everything
                page = f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"
                assert client.get(reverse(page), follow=True).status_code == 200, page
        assert client.get("/admin/sms_services/smsservice/add/").status_code == 403

    def test_it_fills_the_sandbox_inbox(self, settings):
        settings.DEBUG = True
        call_command("demo")
        assert SandboxMessage.objects.count() >= 4
        assert {"sent", "failed", "unknown"} <= set(SmsMessage.objects.values_list("status", flat=True))
        of_approvals = SmsMessage.objects.filter(purpose__in=[Purpose.APPROVAL, Purpose.CC])
        assert not of_approvals.filter(batch=None).exists()  # each is of a notification, which a request asked for
        for template in SmsTemplate.objects.all():
            template.full_clean()

    def test_its_preset_reaches_somebody(self, settings, capsys):
        settings.DEBUG = True
        call_command("demo")
        call_command("notify", "device-alarm", "--var", "device=Pump 1", "--dry-run")
        assert "people: 5\nreachable: 4\nduplicates: 0\nwithout number: 1\n" in capsys.readouterr().out

    def test_a_request_waits_for_its_approval(self, settings):
        settings.DEBUG = True
        call_command("demo")
        request = Request.objects.get()
        waiting = Task.objects.pending().values_list("user__username", flat=True)
        assert sorted(waiting) == ["admin", "maya"]
        for task in list(Task.objects.pending().filter(user__username="admin")):
            approve(task, task.user)
        for task in list(Task.objects.pending()):
            approve(task, task.user)
        request.refresh_from_db()
        assert request.status == "approved"
        assert set(NodeText.objects.values_list("problem", flat=True)) == {""}

    def test_approvals_are_made_as_a_whole_or_not_at_all(self):
        service = SandboxSms.objects.create(key="sandbox", name="Sandbox")
        tomas = User.objects.create(username="tomas")
        with pytest.raises(KeyError):  # there are no templates yet
            make_approvals(service, tomas, [tomas], tomas)
        assert not Process.objects.exists()

    def test_the_second_time_changes_nothing(self, settings, capsys):
        settings.DEBUG = True
        call_command("demo")
        models = (User, SandboxSms, SmsTemplate, SmsMessage, Department, NotificationPreset, Process, Request)
        counts = [model.objects.count() for model in models]
        admin = User.objects.get(username="admin")
        admin.set_password("something better")
        admin.save()
        capsys.readouterr()
        call_command("demo")
        assert [model.objects.count() for model in models] == counts
        assert User.objects.get(username="admin").check_password("something better")
        assert "admin / admin" not in capsys.readouterr().out

    def test_its_support_login_gets_the_rights_that_came_since(self, settings):
        settings.DEBUG = True
        call_command("demo")
        support = User.objects.get(username="support")
        rights = set(support.user_permissions.values_list("codename", flat=True))
        support.user_permissions.set(Permission.objects.filter(codename="reveal_smsmessage"))  # given by hand
        call_command("demo")
        assert set(support.user_permissions.values_list("codename", flat=True)) == {*rights, "reveal_smsmessage"}

    def test_a_taken_port_is_said_plainly(self, settings):
        settings.DEBUG = True
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            with pytest.raises(CommandError, match=f"make run PORT={port + 1}"):
                call_command("demo", port=port)
