"""A secret is found nowhere but encrypted, and a one-time code is gone once its outcome is known."""

import copy
import io
import json
import logging
import pickle
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core import mail
from django.core.exceptions import FieldError
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models.signals import pre_save
from django.urls import reverse
from django.utils.log import AdminEmailHandler

from sms_services.api import queue_message, send_message
from sms_services.choices import MessageStatus, Purpose
from sms_services.conf import get_settings
from sms_services.encryption import Secret
from sms_services.exceptions import EncryptionKeyError, SmsError
from sms_services.models import SandboxMessage, SmsMessage, SmsService, SmsTemplate
from sms_services.providers.cache import forget_providers
from sms_services.tasks import deliver_messages
from tests.services_under_test import (
    NUMBER,
    RECIPIENT_CODES,
    all_rows,
    create_service,
    create_template,
    due,
    foreign_secret,
    provider_name,
)
from tests.simulators import Fault

pytest_plugins = ["tests.services_under_test"]

#: Unlike digits, no clock and no counter shows it by chance.
CODE = "Zq7Kx9"
NEW_SECRET = "another-secret-of-the-account"


def secret_of(service) -> str:
    return getattr(service, service.secret_field).reveal()


def change_url(service) -> str:
    return reverse("admin:sms_services_smsservice_change", args=[service.pk])


def add_url(service) -> str:
    content_type = ContentType.objects.get_for_model(type(service), for_concrete_model=False)
    return f"{reverse('admin:sms_services_smsservice_add')}?ct_id={content_type.pk}"


def form_of(service, simulator, **changes) -> dict[str, str]:
    fields = {"name": service.name, "key": service.key, "is_active": "on", "max_per_second": ""}
    return {**fields, **simulator.credentials, **changes}


def database_files() -> bytes:
    """The bytes of the database's files, where it has files."""
    if connection.vendor != "sqlite":
        return b""
    path = str(connection.settings_dict["NAME"])
    return b"".join(Path(path + end).read_bytes() for end in ("", "-wal") if Path(path + end).exists())


class TestAtRest:
    @pytest.mark.databases
    def test_no_secret_is_in_the_database(self, transactional_db, service, simulator, greeting):
        send_message(service, NUMBER, greeting, {"name": "Ada"})
        secret = secret_of(service)
        assert service.key in all_rows(), "looked in the wrong place"
        assert secret not in all_rows()
        assert secret.encode() not in database_files()
        if connection.vendor == "sqlite":
            assert service.key.encode() in database_files(), "looked in the wrong place"

    def test_equal_secrets_look_different(self, simulator, broker, db):
        first, second = (create_service(simulator, key=key) for key in ("first", "second"))
        assert secret_of(first) == secret_of(second)
        field = first.secret_field
        assert getattr(first, field).token != getattr(second, field).token
        assert getattr(first, field) == getattr(second, field)

    def test_a_saved_secret_is_read_as_it_was(self, service):
        for plaintext in (
            "x",
            "with spaces and ünï",
            "fernet:looks like a token",
            "gAAAAABlooks-like-a-token",
            "a" * 500,
        ):
            setattr(service, service.secret_field, plaintext)
            service.save()
            assert secret_of(type(service).objects.get(pk=service.pk)) == plaintext

    def test_saving_again_does_not_encrypt_twice(self, service):
        plaintext = secret_of(service)
        for _ in range(3):
            service = type(service).objects.get(pk=service.pk)
            service.save()
        assert secret_of(type(service).objects.get(pk=service.pk)) == plaintext

    def test_a_secret_cannot_be_searched(self, service):
        """A search would compare tokens, find nothing, and say so."""
        with pytest.raises(FieldError):
            type(service).objects.filter(**{service.secret_field: "x"}).first()

    def test_a_text_in_the_sandbox_is_unreadable_at_rest(self, sandbox):
        template = create_template(text="${name}")
        for text in ("Hello Ada", "fernet:hello"):
            send_message(sandbox, NUMBER, template, {"name": text})
            assert SandboxMessage.objects.first().text.reveal() == text
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT text FROM {SandboxMessage._meta.db_table}")
            assert all(token.startswith("gAAAA") for (token,) in cursor.fetchall())


class TestInMemory:
    def test_nothing_prints_it(self, service, simulator):
        secret = secret_of(service)
        kept = getattr(service, service.secret_field)
        for shown in (
            repr(kept), str(kept), f"{kept}", f"{kept!r:>40}", format(kept), repr([kept]), repr(service), str(service),
            repr(vars(service)), repr(service.provider_configuration()), repr(service.build_provider().configuration),
        ):  # fmt: skip
            assert secret not in shown
        assert "•" in repr(kept)

    def test_no_pickle_holds_it(self, service, simulator):
        """Caches, sessions and result backends pickle what they are given."""
        secret = secret_of(service).encode()
        for thing in (service, getattr(service, service.secret_field), service.provider_configuration()):
            assert secret not in pickle.dumps(thing)
        assert secret_of(pickle.loads(pickle.dumps(service))) == secret.decode()
        assert secret_of(copy.deepcopy(service)) == secret.decode()

    @pytest.mark.parametrize("call", [send_message, queue_message])
    def test_no_pickle_of_a_message_holds_its_code(self, sandbox, call):
        otp = create_template(key="login", text="${code}", purpose=Purpose.OTP)
        (message,) = call(sandbox, NUMBER, otp, {"code": CODE})
        assert CODE not in repr(message)
        assert CODE.encode() not in pickle.dumps(message)

    def test_it_is_no_key_of_anything(self, service):
        with pytest.raises(TypeError):
            hash(getattr(service, service.secret_field))

    def test_it_compares_by_what_it_says(self):
        secret = Secret.of("one")
        assert (secret == "one", secret == Secret.of("one"), secret == Secret.of("two"), secret == "") == (
            True, True, False, False,
        )  # fmt: skip
        assert secret != 1


class TestAdmin:
    def test_no_page_shows_it(self, service, simulator, admin_client):
        secret = secret_of(service)
        pages = [
            admin_client.get(change_url(service)),
            admin_client.get(add_url(service)),
            admin_client.get(reverse("admin:sms_services_smsservice_changelist")),
            admin_client.get(reverse("admin:sms_services_smsservice_history", args=[service.pk])),
            admin_client.get(reverse("admin:sms_services_smsservice_delete", args=[service.pk])),
        ]
        for page in pages:
            assert page.status_code == 200
            assert secret not in page.content.decode()
            assert getattr(service, service.secret_field).token not in page.content.decode()

    def test_a_refused_form_does_not_give_it_back(self, service, simulator, admin_client):
        form = form_of(service, simulator, **{service.secret_field: NEW_SECRET, "name": ""})
        for url in (change_url(service), add_url(service)):
            page = admin_client.post(url, form)
            assert page.status_code == 200, "not refused"
            assert NEW_SECRET not in page.content.decode()

    def test_the_history_says_that_it_changed_and_not_to_what(self, service, simulator, admin_client):
        form = form_of(service, simulator, **{service.secret_field: NEW_SECRET})
        assert admin_client.post(change_url(service), form).status_code == 302
        assert secret_of(type(service).objects.get(pk=service.pk)) == NEW_SECRET
        entries = "".join(repr(vars(entry)) for entry in LogEntry.objects.all())
        assert entries
        assert NEW_SECRET not in entries
        assert "gAAAA" not in entries


class TestErrorPages:
    """What fails with an exception that nobody expects, and what is told of it then."""

    @pytest.fixture
    def reports(self, admin_client, settings) -> Callable[[str, dict[str, object]], str]:
        """`reports(url, form)`: what developers see with DEBUG on, in both formats, and get by mail with DEBUG off."""

        def fail(sender, **kwargs):
            if issubclass(sender, SmsService | SmsMessage):
                raise ZeroDivisionError

        def post(url, form, debug, **headers):
            settings.DEBUG = debug
            return admin_client.post(url, form, headers=headers)

        def reports(url, form):
            settings.ADMINS = [("Admin", "admin@example.com")]
            admin_client.raise_request_exception = False
            logger, by_mail = logging.getLogger("django.request"), AdminEmailHandler(include_html=True)
            pre_save.connect(fail)
            try:
                pages = [post(url, form, True), post(url, form, True, accept="text/plain")]
                logger.addHandler(by_mail)
                post(url, form, False)
            finally:
                logger.removeHandler(by_mail)
                pre_save.disconnect(fail)
            (report,) = (letter for letter in mail.outbox if letter.alternatives)
            told = [page.content.decode() for page in pages] + [report.body, report.alternatives[0][0]]
            for part in told:
                assert "ZeroDivisionError" in part
                assert "POST" in part
            return "\n".join(told)

        return reports

    def test_the_page_of_a_service_keeps_its_secrets(self, service, simulator, reports):
        form = form_of(service, simulator, **{service.secret_field: NEW_SECRET})
        shown = reports(change_url(service), form)
        assert NEW_SECRET not in shown
        assert secret_of(service) not in shown
        assert get_settings().ENCRYPTION_KEYS[0] not in shown

    def test_the_page_that_adds_a_service_keeps_its_secrets(self, service, simulator, reports):
        form = form_of(service, simulator, key="new", **{service.secret_field: NEW_SECRET})
        shown = reports(add_url(service), form)
        assert NEW_SECRET not in shown

    def test_the_page_of_a_test_message_keeps_number_and_code(self, service, simulator, reports):
        otp = create_template(service, key="login", text="Your code is ${code}", purpose=Purpose.OTP)
        url = reverse("admin:sms_services_smsservice_test", args=[service.pk])
        form = {"phone_number": NUMBER, "template": otp.pk, "variable_code": CODE}
        shown = reports(url, form)
        assert CODE not in shown
        assert NUMBER[2:] not in shown
        assert secret_of(service) not in shown


class TestFixtures:
    @pytest.mark.parametrize("format_", ["json", "xml", "jsonl"])
    def test_a_dump_holds_tokens_and_is_loaded_as_it_was(self, service, simulator, otp, format_, tmp_path):
        simulator.stop()
        send_message(service, NUMBER, otp, {"code": CODE})  # is tried again later, so it keeps its code
        secret, token = secret_of(service), getattr(service, service.secret_field).token
        path = tmp_path / f"dump.{format_}"
        call_command("dumpdata", "sms_services", "contenttypes", format=format_, output=str(path))
        dumped = path.read_text()
        assert service.key in dumped
        assert secret not in dumped
        assert CODE not in dumped

        SmsMessage.objects.all().delete()
        SmsTemplate.objects.all().delete()
        type(service).objects.all().delete()
        call_command("loaddata", str(path), verbosity=0)
        loaded = SmsService.objects.get()
        assert secret_of(loaded) == secret
        assert getattr(loaded, loaded.secret_field).token == token
        simulator.start()
        message = SmsMessage.objects.get()
        due([message])
        deliver_messages([message.pk])
        assert simulator.journal[0].text == f"Your code is {CODE}."

    def test_a_dump_of_a_service_without_messages_is_plain_json(self, service):
        out = io.StringIO()
        call_command("dumpdata", type(service)._meta.label_lower, stdout=out)
        (row,) = json.loads(out.getvalue())
        assert row["fields"][service.secret_field].startswith("fernet:")


class TestKeys:
    """Rotation: a new first key, everything encrypted anew, the old key taken away."""

    @pytest.fixture
    def old(self):
        return get_settings().ENCRYPTION_KEYS[0]

    @pytest.fixture
    def new(self):
        return Fernet.generate_key().decode()

    @pytest.mark.databases
    def test_keys_rotate_without_a_pause(self, service, simulator, greeting, otp, sandbox, sms_settings, old, new):
        simulator.stop()
        (waiting,) = send_message(service, NUMBER, otp, {"code": CODE})
        simulator.start()
        send_message(sandbox, NUMBER, greeting, {"name": "Ada"})
        secret = secret_of(service)

        sms_settings(ENCRYPTION_KEYS=[new, old])
        assert send_message(service, NUMBER, greeting, {"name": "Ada"})[0].status == MessageStatus.SENT
        out = io.StringIO()
        call_command("reencrypt_sms_secrets", stdout=out)
        assert out.getvalue().startswith("3 ")  # the service's, the waiting message's, the sandbox text's
        call_command("reencrypt_sms_secrets", stdout=out)

        sms_settings(ENCRYPTION_KEYS=[new])
        forget_providers()  # settings change with a restart
        assert secret_of(type(service).objects.get(pk=service.pk)) == secret
        assert send_message(service, NUMBER, greeting, {"name": "Ada"})[0].status == MessageStatus.SENT
        due([waiting])
        deliver_messages([waiting.pk])
        waiting.refresh_from_db()
        assert waiting.status == MessageStatus.SENT
        assert SandboxMessage.objects.get().text.reveal() == "Hello Ada"
        sms_settings(ENCRYPTION_KEYS=[old])
        with pytest.raises(EncryptionKeyError):
            secret_of(type(service).objects.get(pk=service.pk))

    def test_what_no_key_opens_is_counted_and_kept(self, service, simulator, sandbox, sms_settings, old, new):
        other = create_service(simulator, key="other")
        token = foreign_secret()
        type(other).objects.filter(pk=other.pk).update(**{other.secret_field: token})
        sms_settings(ENCRYPTION_KEYS=[new, old])
        with pytest.raises(CommandError, match=r"^1 secrets cannot be decrypted"):
            call_command("reencrypt_sms_secrets", stdout=io.StringIO())
        sms_settings(ENCRYPTION_KEYS=[new])
        assert secret_of(type(service).objects.get(pk=service.pk))
        assert getattr(type(other).objects.get(pk=other.pk), other.secret_field).token == token.token

    @pytest.mark.parametrize(
        "keys",
        [[], ["not a key"], [Fernet.generate_key().decode()], ["ünï"]],
        ids=["none", "malformed", "wrong", "ünï"],
    )
    def test_a_wrong_key_is_one_clear_error(self, service, simulator, greeting, sms_settings, keys):
        sms_settings(ENCRYPTION_KEYS=keys)
        with pytest.raises(EncryptionKeyError, match="ENCRYPTION_KEYS") as raised:
            send_message(service, NUMBER, greeting, {"name": "Ada"})
        assert raised.value.__cause__ is None
        assert raised.value.__context__ is None
        for key in keys:
            assert key not in str(raised.value)
        assert not SmsMessage.objects.exists()
        assert simulator.requests == []

    def test_a_wrong_key_leaves_queued_messages_queued(self, service, simulator, greeting, sms_settings, old, new):
        (message,) = queue_message(service, NUMBER, greeting, {"name": "Ada"})
        sms_settings(ENCRYPTION_KEYS=[new])
        with suppress(EncryptionKeyError):
            deliver_messages([message.pk])
        row = SmsMessage.objects.get()
        assert (row.status, row.tries) == (MessageStatus.QUEUED, 0)
        assert simulator.requests == []
        sms_settings(ENCRYPTION_KEYS=[old])
        deliver_messages([message.pk])
        assert SmsMessage.objects.get().status == MessageStatus.SENT

    def test_a_wrong_key_does_not_break_the_admin(self, service, admin_client, sms_settings, new, simulator):
        """It is there that the secret is entered anew."""
        sms_settings(ENCRYPTION_KEYS=[new])
        assert admin_client.get(change_url(service)).status_code == 200
        form = form_of(service, simulator)
        assert admin_client.post(change_url(service), form).status_code == 302
        assert secret_of(type(service).objects.get(pk=service.pk)) == simulator.credentials[service.secret_field]

    def test_without_any_key_a_form_is_refused_in_words(self, service, simulator, admin_client, sms_settings):
        sms_settings(ENCRYPTION_KEYS=[])
        page = admin_client.post(change_url(service), form_of(service, simulator))
        assert page.status_code == 200
        assert "ENCRYPTION_KEYS" in page.content.decode()


class TestCodes:
    """Variables of one-time codes: encrypted while they are needed, gone once the outcome is known."""

    def row(self) -> SmsMessage:
        return SmsMessage.objects.get()

    @pytest.mark.databases
    def test_a_queued_code_is_unreadable_at_rest(self, transactional_db, service, simulator, otp):
        queue_message(service, NUMBER, otp, {"code": CODE})
        row = self.row()
        assert row.params == {}
        assert row.sensitive_params
        assert row.all_params() == {"code": CODE}
        assert CODE not in all_rows()
        assert CODE.encode() not in database_files()
        deliver_messages([row.pk])
        assert simulator.journal[0].text == f"Your code is {CODE}."
        assert CODE not in all_rows()

    def test_a_sent_code_is_gone(self, service, simulator, otp):
        send_message(service, NUMBER, otp, {"code": CODE})
        assert (self.row().status, self.row().sensitive_params) == (MessageStatus.SENT, "")

    def test_a_refused_code_is_gone(self, service, simulator, otp):
        simulator.refuse(RECIPIENT_CODES[provider_name(simulator)])
        send_message(service, NUMBER, otp, {"code": CODE})
        assert (self.row().status, self.row().sensitive_params) == (MessageStatus.FAILED, "")

    def test_a_code_in_doubt_is_gone(self, service, simulator, otp):
        simulator.fail(Fault.RESET_AFTER_ACCEPTING)
        send_message(service, NUMBER, otp, {"code": CODE})
        assert (self.row().status, self.row().sensitive_params) == (MessageStatus.UNKNOWN, "")

    def test_a_code_of_a_deactivated_service_is_gone(self, sandbox):
        otp = create_template(key="login", text="${code}", purpose=Purpose.OTP)
        (message,) = queue_message(sandbox, NUMBER, otp, {"code": CODE})
        type(sandbox).objects.update(is_active=False)
        deliver_messages([message.pk])
        assert (self.row().status, self.row().sensitive_params) == (MessageStatus.FAILED, "")

    def test_a_code_that_is_tried_again_is_kept_and_then_gone(self, service, simulator, otp):
        simulator.fail(Fault.THROTTLED, times=1)
        (message,) = send_message(service, NUMBER, otp, {"code": CODE})
        assert self.row().status == MessageStatus.QUEUED
        assert self.row().sensitive_params
        assert CODE not in all_rows()
        due([message])
        deliver_messages([message.pk])
        assert simulator.journal[0].text == f"Your code is {CODE}."
        assert (self.row().status, self.row().sensitive_params) == (MessageStatus.SENT, "")

    def test_a_code_whose_tries_are_used_up_is_gone(self, service, simulator, otp, sms_settings):
        sms_settings(MAX_TRIES=1)
        simulator.fail(Fault.THROTTLED)
        send_message(service, NUMBER, otp, {"code": CODE})
        assert (self.row().status, self.row().sensitive_params) == (MessageStatus.FAILED, "")

    @pytest.mark.parametrize("name", ["code", "otp", "password", "pin", "token"])
    def test_variables_with_telling_names_are_sensitive_in_every_text(self, sandbox, name):
        template = create_template(text=f"${{who}}: ${{{name}}}")
        queue_message(sandbox, NUMBER, template, {"who": "Ada", name: CODE})
        assert self.row().params == {"who": "Ada"}
        assert CODE not in all_rows()

    def test_which_names_tell_is_a_setting(self, sandbox, sms_settings):
        sms_settings(SENSITIVE_VARIABLES=["diagnosis"])
        template = create_template(text="${who}: ${diagnosis}")
        queue_message(sandbox, NUMBER, template, {"who": "Ada", "diagnosis": CODE})
        assert self.row().params == {"who": "Ada"}

    def test_all_variables_of_a_code_are_sensitive_whatever_they_are_called(self, sandbox):
        template = create_template(text="${anything} ${minutes}", purpose=Purpose.OTP)
        queue_message(sandbox, NUMBER, template, {"anything": CODE, "minutes": "5"})
        assert self.row().params == {}

    def test_no_code_is_written_into_the_wording(self, sandbox):
        """A wording is kept for good, so a code in it would be readable for good."""
        with suppress(SmsError):
            send_message(sandbox, NUMBER, SmsTemplate(text=f"Your code is {CODE}", purpose=Purpose.OTP))
        assert CODE not in all_rows()
