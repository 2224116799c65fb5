"""The purge: old messages go by their purpose's retention, and nothing that is still under way."""

import io
from datetime import timedelta

import pytest
from django.apps import apps
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection, models
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from sms_services import tasks
from sms_services.models import MessageReveal, SandboxMessage, SmsAttempt, SmsBatch, SmsMessage
from sms_services.purging import purge
from sms_services.signals import batches_outdated
from tests.log_messages import a_failed_try, a_message, a_service, many_messages

pytestmark = [pytest.mark.django_db, pytest.mark.databases]


@pytest.fixture(autouse=True)
def _retention(sms_settings):
    sms_settings(RETENTION_DAYS={"otp": 1, "notification": 10, "marketing": None, "sandbox": 2})


def old(days, **changes):
    return a_message(created_at=timezone.now() - timedelta(days=days), **changes)


def many_old_messages(count):
    messages = many_messages(count)
    rows = SmsMessage.objects.filter(pk__in=[message.pk for message in messages])
    rows.update(created_at=models.F("created_at") - timedelta(days=20))
    return messages


def purged(**options):
    out = io.StringIO()
    call_command("purge_sms_messages", stdout=out, **options)
    return out.getvalue()


def left():
    return set(SmsMessage.objects.values_list("pk", flat=True))


def test_each_purpose_has_its_days(db):
    kept = {
        old(9).pk,
        old(0, purpose="otp").pk,
        old(1000, purpose="marketing").pk,  # None
        old(1000, purpose="approval").pk,  # not named
    }
    old(11)
    old(2, purpose="otp")
    text = purged()
    assert left() == kept
    assert "notification: 1 deleted" in text
    assert "otp: 1 deleted" in text
    assert "2 messages deleted." in text


@pytest.mark.parametrize("status", ["sent", "delivered", "undelivered", "failed", "skipped", "unknown"])
def test_what_is_settled_goes(status):
    old(11, status=status)
    purged()
    assert left() == set()


@pytest.mark.parametrize(
    ("status", "changes"), [("queued", {}), ("sending", {}), ("unknown", {"sweep_at": timezone.now()})]
)
def test_what_is_under_way_stays_however_old(status, changes):
    message = old(1000, status=status, **changes)
    old(1000)
    purged()
    assert left() == {message.pk}


def test_what_belongs_to_a_message_goes_with_it_and_its_retry_stays():
    first = old(11)
    a_failed_try(first)
    MessageReveal.objects.create(username="clerk", message=first)
    retry = a_message(retry_of=first)
    purged()
    retry.refresh_from_db()
    assert (left(), retry.retry_of) == ({retry.pk}, None)
    assert not SmsAttempt.objects.exists()
    assert MessageReveal.objects.get().message_id == first.pk


def test_a_dry_run_counts_and_deletes_nothing():
    old(11)
    old(11)
    text = purged(dry_run=True)
    assert "notification: 2 would be deleted" in text
    assert SmsMessage.objects.count() == 2


def test_batches_are_complete(django_assert_max_num_queries):
    many_messages(25)
    SmsMessage.objects.update(created_at=timezone.now() - timedelta(days=20))  # all of one moment
    assert [count for _name, count in purge(batch_size=10)] == [10, 10, 5]
    assert left() == set()


def test_it_can_be_interrupted_and_gone_on_with(monkeypatch):
    many_messages(25)
    SmsMessage.objects.update(created_at=timezone.now() - timedelta(days=20))

    def interrupted(**options):
        yield next(purge(batch_size=10))
        raise KeyboardInterrupt

    monkeypatch.setattr("sms_services.management.commands.purge_sms_messages.purge", interrupted)
    out = io.StringIO()
    with pytest.raises(CommandError, match="go on"):
        call_command("purge_sms_messages", stdout=out)
    assert "10 messages deleted." in out.getvalue()
    monkeypatch.undo()
    assert SmsMessage.objects.count() == 15
    for _ in purge(batch_size=10):
        pass
    assert left() == set()


def test_what_was_held_back_for_long_and_left_lately_stays():
    lately = old(20, status="sent", sent_at=timezone.now() - timedelta(days=1))
    old(20, status="sent", sent_at=timezone.now() - timedelta(days=19))
    purged()
    assert left() == {lately.pk}


def test_the_sandboxs_texts_go_too():
    service = a_service()
    for number, days in enumerate((5, 3, 1)):
        SandboxMessage.objects.create(
            service=service,
            phone_number="+12065550123",
            text="Hello",
            message_id=f"SB{number}",
            received_at=timezone.now() - timedelta(days=days),
        )
    assert "sandbox: 2 deleted" in purged()
    assert SandboxMessage.objects.get().message_id == "SB2"


def test_the_task_does_the_same():
    old(11)
    tasks.purge()
    assert left() == set()


def test_two_at_once_do_no_harm():
    many_messages(25)
    SmsMessage.objects.update(created_at=timezone.now() - timedelta(days=20))
    one, other = purge(batch_size=10), purge(batch_size=10)
    for _ in zip(one, other, strict=False):
        pass
    for _ in one:
        pass
    assert left() == set()


@pytest.mark.parametrize("days", [{"otps": 3}, {"otp": 0}, {"otp": -1}, {"otp": "30"}, {"otp": True}])
def test_a_wrong_setting_deletes_nothing_and_is_found_by_the_checks(sms_settings, days):
    old(1000)
    sms_settings(RETENTION_DAYS=days)
    with pytest.raises(CommandError, match="RETENTION_DAYS"):
        purged()
    assert SmsMessage.objects.count() == 1
    assert "sms_services.E004" in {problem.id for problem in run_checks()}


def test_the_defaults_keep_codes_for_a_month(settings):
    settings.SMS_SERVICES = {k: v for k, v in settings.SMS_SERVICES.items() if k != "RETENTION_DAYS"}
    young, aged = old(29, purpose="otp"), old(31, purpose="otp")
    purged()
    assert left() == {young.pk}
    assert aged.pk not in left()


@pytest.mark.usefixtures("unreadable_replica")
def test_it_reads_where_it_deletes():
    message, service = old(11), a_service()
    SandboxMessage.objects.create(
        service=service, phone_number="+12065550123", text="Hello", received_at=timezone.now() - timedelta(days=5)
    )
    counts = dict(purge())
    assert counts == {"notification": 1, "sandbox": 1}
    assert not SmsMessage.objects.using("default").filter(pk=message.pk).exists()


@pytest.fixture
def related(transactional_db):
    """`related(on_delete)`: a model of another app, with a table and a foreign key to messages."""
    made = []

    def related(on_delete):
        name = f"Recipient{len(made)}"
        fields = {
            "__module__": __name__,
            "Meta": type("Meta", (), {"app_label": "config"}),
            "message": models.ForeignKey(SmsMessage, on_delete, null=True, related_name="+"),
        }
        model = type(name, (models.Model,), fields)
        made.append(model)
        with connection.schema_editor() as editor:
            editor.create_model(model)
        return model

    yield related
    for model in made:
        with connection.schema_editor() as editor:
            editor.delete_model(model)
        del apps.all_models["config"][model._meta.model_name]
    apps.clear_cache()


def test_an_app_hears_which_batches_go_and_may_keep_some():
    kept, other = SmsBatch.objects.create(), SmsBatch.objects.create()
    stays, _goes, _of_none = old(11, batch=kept), old(11, batch=other), old(11)
    old(1, batch=SmsBatch.objects.create())
    heard = []

    def keep(sender, batches, **kwargs):
        heard.append((batches, SmsMessage.objects.count()))
        return [kept.pk]

    batches_outdated.connect(keep)
    try:
        assert list(purge(dry_run=True)) == [("notification", 3)]
        assert heard == []
        assert list(purge()) == [("notification", 2)]
    finally:
        batches_outdated.disconnect(keep)
    assert heard == [({kept.pk, other.pk}, 4)]
    assert stays.pk in left()
    assert len(left()) == 2


@pytest.mark.parametrize("failures", [1, 3])
def test_an_app_that_runs_into_a_deadlock_is_asked_again(monkeypatch, failures):
    monkeypatch.setattr("sms_services.purging._PAUSE", 0)
    old(11, batch=SmsBatch.objects.create())
    left_to_fail = iter(range(failures))

    def fail(sender, batches, **kwargs):
        if next(left_to_fail, None) is not None:
            raise OperationalError("deadlock detected")

    batches_outdated.connect(fail)
    try:
        if failures == 1:
            assert list(purge()) == [("notification", 1)]
        else:  # after so many, it is no accident
            with pytest.raises(OperationalError):
                list(purge())
    finally:
        batches_outdated.disconnect(fail)
    assert len(left()) == (0 if failures == 1 else 1)


class TestRowsOfOtherApps:
    def test_those_that_cascade_go_batch_by_batch(self, related):
        recipients = related(models.CASCADE)
        kept = recipients.objects.create(message=old(1))
        skipped = recipients.objects.create(message=None)
        messages = many_old_messages(25)
        recipients.objects.bulk_create([recipients(message=message) for message in messages])
        batches = purge(batch_size=10)
        assert next(batches) == ("notification", 10)
        assert recipients.objects.count() == 17
        assert [count for _name, count in batches] == [10, 5]
        assert list(recipients.objects.order_by("pk")) == [kept, skipped]

    def test_those_that_let_go_stay(self, related):
        recipient = related(models.SET_NULL).objects.create(message=old(20))
        assert list(purge()) == [("notification", 1)]
        recipient.refresh_from_db()
        assert recipient.message_id is None

    @pytest.mark.parametrize("on_delete", [models.PROTECT, models.RESTRICT])
    def test_what_others_protect_stays_and_hinders_nothing(self, related, on_delete):
        messages = many_old_messages(25)
        protected = messages[7]
        a_failed_try(protected)
        related(on_delete).objects.create(message=protected)
        assert [count for _name, count in purge(batch_size=10)] == [9, 10, 5]
        assert left() == {protected.pk}
        assert protected.attempts.count() == 1

    def test_a_batch_takes_as_many_queries_however_large_the_log_is(self, related):
        related(models.CASCADE)
        counts = []
        for size in (100, 300):
            many_old_messages(size)
            with CaptureQueriesContext(connection) as captured:
                next(purge(batch_size=100))
            counts.append(len(captured))
        assert counts[0] == counts[1] <= 13
