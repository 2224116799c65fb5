"""System checks: each has an id, speaks when something is wrong, and is silent otherwise."""

import io
import sys

import pytest
from cryptography.fernet import Fernet
from django.contrib.auth.models import User
from django.core.checks import ERROR, WARNING, run_checks
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import connection
from kombu import transport

from sms_services.conf import Settings, get_settings
from sms_services.models import SandboxSms
from tests.approval_processes import a_process, an_approval_template, step
from tests.login_under_test import a_login
from tests.services_under_test import create_service, foreign_secret

pytest_plugins = ["tests.services_under_test"]

TAG = "sms_services"


def found(*databases: str) -> dict[str, object]:
    """What our checks say now, by id."""
    return {message.id: message for message in run_checks(tags=[TAG], databases=list(databases))}


@pytest.fixture(autouse=True)
def _as_the_reference_project(settings):
    settings.DEBUG = False


def test_the_reference_project_passes(broker, db):
    assert found("default") == {}


class TestSettings:
    def test_e001_an_unknown_setting(self, sms_settings):
        sms_settings(THREADZ=3)
        message = found()["sms_services.E001"]
        assert message.level == ERROR
        assert "THREADZ" in message.msg
        assert "THREADS" in message.msg

    @pytest.mark.parametrize("value", [None, [], "THREADS=3", 5])
    def test_e001_no_dict(self, settings, value):
        settings.SMS_SERVICES = value
        assert "must be a dict" in found()["sms_services.E001"].msg

    @pytest.mark.parametrize(
        "change",
        [
            {"ENDPOINT_URLS": {"twillio": "http://127.0.0.1"}},  # texts go to the vendor
            {"SENSITIVE_VARIABLES": "code"},  # four names of one letter: nothing is sensitive
            {"READ_TIMEOUT": None},  # waits for ever
            {"THREADS": 0},  # fails when messages are claimed already
            {"MAX_TRIES": 0},
            {"RECONCILE_DELAYS": 30.0},
            {"DEFAULT_REGION": "XX"},
        ],
        ids=repr,
    )
    def test_e001_a_value_that_does_harm(self, sms_settings, change):
        sms_settings(**change)
        assert next(iter(change)) in found()["sms_services.E001"].msg

    def test_every_default_works(self, settings):
        settings.SMS_SERVICES = {"ENCRYPTION_KEYS": [Fernet.generate_key().decode()]}
        assert "sms_services.E001" not in found()
        assert get_settings() == Settings(ENCRYPTION_KEYS=settings.SMS_SERVICES["ENCRYPTION_KEYS"])

    def test_keys_are_not_printed_with_the_settings(self):
        assert get_settings().ENCRYPTION_KEYS[0] not in repr(get_settings())


class TestKeys:
    @pytest.mark.parametrize("keys", [[], ["short"], ["ünï"], [""], [None]], ids=repr)
    def test_e002_keys_that_are_missing_or_malformed(self, sms_settings, keys):
        sms_settings(ENCRYPTION_KEYS=keys)
        message = found()["sms_services.E002"]
        assert message.level == ERROR
        assert "ENCRYPTION_KEYS" in message.msg
        assert "Fernet.generate_key" in message.msg

    def test_e001_one_string_is_no_list_of_keys(self, sms_settings):
        sms_settings(ENCRYPTION_KEYS=Fernet.generate_key().decode())
        assert "must be a list" in found()["sms_services.E001"].msg

    def test_e002_names_the_malformed_key_by_its_place_and_not_by_itself(self, sms_settings):
        sms_settings(ENCRYPTION_KEYS=[Fernet.generate_key().decode(), "not-a-key-but-perhaps-a-secret"])
        message = found()["sms_services.E002"]
        assert "Key 2" in message.msg
        assert "perhaps-a-secret" not in message.msg

    def test_e003_a_secret_that_no_key_opens(self, simulator, broker, db):
        service = create_service(simulator, name="Shop")
        assert found("default") == {}
        type(service).objects.filter(pk=service.pk).update(**{service.secret_field: foreign_secret()})
        message = found("default")["sms_services.E003"]
        assert message.level == ERROR
        assert "“Shop”" in message.msg

    def test_e003_comes_with_the_databases(self, twilio, broker, db):
        service = create_service(twilio)
        type(service).objects.update(auth_token=foreign_secret())
        assert found() == {}
        with pytest.raises(SystemCheckError, match=r"sms_services\.E003"):
            call_command("check", databases=["default"], stdout=io.StringIO(), stderr=io.StringIO())

    @pytest.mark.parametrize("keys", [[], ["malformed"]])
    def test_unusable_keys_do_not_break_the_check_of_the_secrets(self, twilio, broker, db, sms_settings, keys):
        create_service(twilio)
        sms_settings(ENCRYPTION_KEYS=keys)
        assert "sms_services.E002" in found("default")


class TestCelery:
    @pytest.mark.parametrize(
        "queues", [{"OTP_QUEUE": ""}, {"OTP_QUEUE": "sms"}, {"OTP_QUEUE": "same", "QUEUE": "same"}], ids=repr
    )
    def test_w001_codes_that_share_a_queue(self, broker, sms_settings, queues):
        sms_settings(**queues)
        message = found()["sms_services.W001"]
        assert message.level == WARNING
        assert "OTP_QUEUE" in message.hint

    @pytest.mark.parametrize(
        "queues",
        [{"OTP_QUEUE": "codes"}, {"OTP_QUEUE": "", "QUEUE": "bulk"}, {"OTP_QUEUE": "a", "QUEUE": "b"}],
        ids=repr,
    )
    def test_w001_is_silent_where_they_have_one_of_their_own(self, broker, sms_settings, queues):
        sms_settings(**queues)
        assert "sms_services.W001" not in found()

    @pytest.mark.parametrize("schedule", [None, {}, {"other": {"task": "other", "schedule": 10.0}}])
    def test_w002_a_sweep_that_nobody_schedules(self, broker, schedule):
        broker.app.conf.beat_schedule = schedule
        message = found()["sms_services.W002"]
        assert message.level == WARNING
        assert "sms_services.sweep" in message.hint

    def test_w002_is_silent_where_it_is_scheduled(self, broker):
        broker.app.conf.beat_schedule = {"any name": {"task": "sms_services.sweep", "schedule": 10.0}}
        assert "sms_services.W002" not in found()


class TestSandbox:
    def test_w004_a_broker_whose_package_is_missing(self, broker, monkeypatch):
        monkeypatch.setenv("CELERY_BROKER_WRITE_URL", "redis://:secret@127.0.0.1:1/0")
        assert "sms_services.W004" not in found()
        monkeypatch.setitem(sys.modules, "redis", None)
        monkeypatch.delitem(sys.modules, "kombu.transport.redis")
        monkeypatch.delitem(transport._transport_cache, "redis")
        message = found()["sms_services.W004"]
        assert message.level == WARNING
        assert "celery[redis]" in message.hint
        assert "secret" not in message.msg

    def test_w004_a_broker_that_there_is_not(self, broker, monkeypatch):
        monkeypatch.setenv("CELERY_BROKER_WRITE_URL", "redist://127.0.0.1")
        assert "redist" in found()["sms_services.W004"].msg

    @pytest.mark.parametrize(
        "url",
        [
            "redis://:s3cr/et@host:6379/0",
            "redis://:s3cr#et@host:6379/0",
            "redis://:s3cr?et@host:6379/0",
            "redis://:[s3cr]et@host:6379/0",
            "amqp://user:s3cr/et@host:5672//",
        ],
    )
    def test_w004_a_password_that_is_not_encoded_is_not_shown(self, broker, monkeypatch, url):
        monkeypatch.setenv("CELERY_BROKER_WRITE_URL", url)
        message = found()["sms_services.W004"]
        assert "CELERY_BROKER_URL cannot be read" in message.msg
        assert "Percent-encode" in message.hint
        assert "s3cr" not in f"{message.msg} {message.hint}"

    def test_w003_an_active_sandbox_outside_debug(self, sandbox, settings):
        message = found("default")["sms_services.W003"]
        assert message.level == WARNING
        assert "“Sandbox”" in message.msg
        settings.DEBUG = True
        assert "sms_services.W003" not in found("default")
        settings.DEBUG = False
        SandboxSms.objects.update(is_active=False)
        assert "sms_services.W003" not in found("default")


@pytest.mark.parametrize(
    "change",
    [
        "sms_services_smsservice RENAME COLUMN name TO later",
        "sms_services_smstemplate RENAME COLUMN purpose TO later",
        "login_mobile_mobilelogin RENAME COLUMN name TO later",
        "approvals_node RENAME COLUMN mode TO later",
        "approvals_process RENAME TO later",
    ],
)
@pytest.mark.parametrize("tag", [TAG, "login_mobile", "approvals"])
def test_checks_of_the_database_are_silent_before_a_migration(broker, db, tag, change):
    """`migrate` runs them while tables and columns are still to come."""
    service = a_login().sms_service
    a_process(step(sms_service=service, sms_template=an_approval_template()))
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {change}")
    run_checks(tags=[tag], databases=["default"])
    assert User.objects.count() == 0  # the transaction is whole


def test_checks_of_the_database_look_only_into_the_one_that_is_written_to(sandbox, settings):
    assert "sms_services.W003" in found("default")
    settings.DATABASE_ROUTERS = [f"{__name__}.Elsewhere"]
    assert "sms_services.W003" not in found("default")


class Elsewhere:
    def db_for_write(self, model: object, **hints: object) -> str:
        return "elsewhere"
