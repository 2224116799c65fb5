"""System checks of `notifications`: each has an id, speaks when something is wrong, and is silent otherwise."""

import pytest
from django.core.checks import ERROR, WARNING, run_checks

from notifications.conf import get_settings
from notifications.directory import NUMBER
from tests.people import a_person, number_of, states

pytest_plugins = ["tests.services_under_test"]


def by_last_name(users):
    """For `PHONE_NUMBER`: a queryset with the number as the setting's documentation says."""
    from django.db.models import F

    return users.annotate(**{NUMBER: F("last_name")})


def found():
    return {message.id: message for message in run_checks(tags=["notifications"])}


def test_the_reference_project_passes(broker):
    assert found() == {}


class TestSettings:
    @pytest.mark.parametrize(
        ("value", "words"),
        [
            (None, "must be a dict"),
            ({"PHONE": "x"}, "PHONE_NUMBER"),
            ({"PHONE_NUMBER": ""}, "PHONE_NUMBER"),
            ({"PHONE_NUMBER": 5}, "PHONE_NUMBER"),
            ({"RECIPIENT_FIELDS": "first_name"}, "RECIPIENT_FIELDS"),
            ({"RECIPIENT_FIELDS": [5]}, "RECIPIENT_FIELDS"),
            ({"QUEUE": None}, "QUEUE"),
            ({"LOST_AFTER": 0}, "LOST_AFTER"),
            ({"RETENTION_DAYS": 0}, "RETENTION_DAYS"),
            ({"RETENTION_DAYS": True}, "RETENTION_DAYS"),
        ],
    )
    def test_e001_what_is_wrong(self, value, words, settings):
        settings.NOTIFICATIONS = value
        assert found()["notifications.E001"].level == ERROR
        assert words in found()["notifications.E001"].msg

    def test_none_is_needed(self, settings):
        del settings.NOTIFICATIONS
        assert get_settings().PHONE_NUMBER == "mobile_number__number"
        assert found() == {}


class TestPhoneNumber:
    @pytest.mark.parametrize(
        ("value", "words"),
        [
            ("telephone", "has no field 'telephone'"),
            ("mobile_number__phone", "has no field 'phone'"),
            ("mobile_number", "ends at a relation"),
            ("groups__name", "many values"),
            ("username__number", "no relation"),
            ("password", "secret"),
            ("shop.users.numbers", "shop"),
        ],
    )
    def test_e002_no_number_there(self, value, words, settings):
        settings.NOTIFICATIONS = {"PHONE_NUMBER": value}
        assert words in found()["notifications.E002"].msg

    @pytest.mark.parametrize("value", [by_last_name, "tests.test_notification_checks.by_last_name"])
    def test_a_function_finds_numbers(self, value, settings, eager, sandbox, transactional_db):
        from notifications.api import notify, recipients_summary
        from tests.services_under_test import create_template

        settings.NOTIFICATIONS = {"PHONE_NUMBER": value}
        assert found() == {}
        ada = a_person("ada", last_name=number_of(1))
        assert recipients_summary(users=ada).reachable == 1
        assert states(notify(users=ada, service=sandbox, template=create_template(text="News"))) == {"ada": "sent"}


@pytest.mark.parametrize(
    ("path", "words"),
    [("nickname", "no field"), ("password", "secret"), ("groups__name", "many"), ("mobile_number", "relation")],
)
def test_e003_what_cannot_be_texted(path, words, settings):
    settings.NOTIFICATIONS = {"RECIPIENT_FIELDS": ["first_name", path]}
    assert words in found()["notifications.E003"].msg


def test_e003_a_field_behind_a_relation_is_fine(settings):
    settings.NOTIFICATIONS = {"RECIPIENT_FIELDS": ["first_name", "mobile_number__number", "pk"]}
    assert found() == {}


class Split:
    """Users live elsewhere."""

    def db_for_write(self, model, **hints):
        return "people" if model._meta.app_label == "auth" else None


def test_e004_two_databases(settings):
    settings.DATABASE_ROUTERS = [f"{__name__}.Split"]
    assert "different databases" in found()["notifications.E004"].msg


def test_e005_without_treebeard(monkeypatch):
    from django.apps import apps

    monkeypatch.setattr(apps, "is_installed", lambda name: name != "treebeard")
    assert "treebeard" in found()["notifications.E005"].hint


class TestCelery:
    def test_w001_no_sweep(self, broker):
        broker.app.conf.beat_schedule = {}
        assert found()["notifications.W001"].level == WARNING

    def test_w002_in_the_queue_of_codes(self, broker, settings):
        settings.NOTIFICATIONS = {"QUEUE": settings.SMS_SERVICES["OTP_QUEUE"]}
        assert found()["notifications.W002"].level == WARNING
