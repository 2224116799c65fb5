"""Imports of templates beside each other, beside an admin who edits, and beside a replica that lags."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db import DatabaseError, connections, transaction
from django.db.models.signals import pre_save
from django.test import Client

from sms_services.exceptions import OutdatedComparison
from sms_services.importing import Imported, apply, compare
from sms_services.models import AlibabaCloudSms, SmsTemplate, TemplateCode
from tests.services_under_test import create_service
from tests.simulators import AlibabaCloudSimulator
from tests.test_template_import import import_url, press, registered, rows, take_all

pytest_plugins = ["tests.services_under_test"]
pytestmark = [pytest.mark.databases, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def platform(alibaba_cloud) -> AlibabaCloudSimulator:
    return alibaba_cloud


@pytest.fixture
def service(platform, broker) -> AlibabaCloudSms:
    return create_service(platform)


def together(*calls: Callable[[], Any]) -> list[Any]:
    """What the calls return that are made at the same time, on connections of their own."""
    barrier, outcomes = threading.Barrier(len(calls)), []

    def run(call: Callable[[], Any]) -> None:
        barrier.wait()
        try:
            outcomes.append(call())
        except OutdatedComparison as outdated:
            outcomes.append(outdated)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=[call]) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


class TestTwoImportsAtOnce:
    def test_what_was_shown_to_both_is_written_once(self, platform, service):
        platform.templates = registered(230)
        shown = compare(service).all_chosen
        outcomes = together(*[lambda: apply(service, shown)] * 4)
        assert sorted(outcome.new for outcome in outcomes) == [0, 0, 0, 230]
        assert sorted(len(outcome.left_alone) for outcome in outcomes) == [0, 230, 230, 230]
        assert SmsTemplate.objects.count() == TemplateCode.objects.count() == 230

    def test_two_admins_who_press_the_button(self, admin_user, platform, service):
        platform.templates = registered(60)
        clients = [Client(), Client()]
        for client in clients:
            client.force_login(admin_user)
        pages = [client.get(import_url(service)) for client in clients]
        answers = together(
            *[
                lambda client=client, page=page: press(client, service, page)
                for client, page in zip(clients, pages, strict=True)
            ]
        )
        assert sorted("Imported: 60 new" in answer.content.decode() for answer in answers) == [False, True]
        assert sorted("left alone" in answer.content.decode() for answer in answers) == [False, True]
        assert SmsTemplate.objects.count() == TemplateCode.objects.count() == 60
        assert LogEntry.objects.count() == 1

    def test_changed_and_vanished_ones_are_written_once(self, platform, service):
        platform.templates = registered(60)
        take_all(service)
        platform.templates = [replace(template, content=f"New {template.code}") for template in platform.templates[:50]]
        shown = compare(service).all_chosen
        outcomes = together(*[lambda: apply(service, shown)] * 3)
        assert sorted((outcome.changed, outcome.gone) for outcome in outcomes) == [(0, 0), (0, 0), (50, 10)]
        assert SmsTemplate.objects.filter(text__startswith="New").count() == 50
        assert compare(service).changes == []

    def test_two_services_of_an_account_do_not_double_its_templates(self, platform, service):
        second = create_service(platform, key="second", name="Second")
        platform.templates = registered(60)
        shown = [(one, compare(one).all_chosen) for one in (service, second)]
        together(*[lambda one=one, chosen=chosen: apply(one, chosen) for one, chosen in shown])
        assert SmsTemplate.objects.count() == 60
        take_all(service)
        take_all(second)
        assert SmsTemplate.objects.count() == 60
        assert TemplateCode.objects.count() == 120


class TestEditsMeanwhile:
    @pytest.fixture(autouse=True)
    def imported(self, platform, service):
        platform.templates = registered(3)
        take_all(service)
        platform.templates = [replace(template, content=f"New {template.code}") for template in platform.templates]

    def apply_while(self, platform: AlibabaCloudSimulator, service: AlibabaCloudSms, edit: Callable[[], Any]) -> Any:
        """The outcome of an import that comes when somebody has edited a row and not yet committed it."""
        shown, outcomes = compare(service).all_chosen, []
        asked = len(platform.requests)

        def run() -> None:
            try:
                outcomes.append(apply(service, shown))
            finally:
                connections.close_all()

        importing = threading.Thread(target=run)
        with transaction.atomic():
            edit()
            importing.start()
            while len(platform.requests) == asked:
                time.sleep(0.01)
            time.sleep(0.5)
            assert importing.is_alive()
        importing.join()
        return outcomes[0]

    def test_a_text_that_was_edited_is_kept(self, platform, service):
        template = SmsTemplate.objects.filter(key="parcel-0")
        outcome = self.apply_while(platform, service, lambda: template.update(text="Corrected by hand"))
        assert outcome == Imported(changed=2, left_alone=("SMS_200000",))
        assert template.get().text == "Corrected by hand"

    def test_another_code_does_not_get_the_old_ones_status(self, platform, service):
        platform.templates[0] = replace(platform.templates[0], audit_status="AUDIT_STATE_NOT_PASS")
        code = TemplateCode.objects.filter(code="SMS_200000")
        pk = code.get().pk
        outcome = self.apply_while(platform, service, lambda: code.update(code="SMS_77", platform_status=""))
        assert outcome == Imported(changed=2, left_alone=("SMS_200000",))
        assert TemplateCode.objects.values_list("code", "platform_status").get(pk=pk) == ("SMS_77", "")

    def test_what_was_deleted_does_not_come_back(self, platform, service):
        outcome = self.apply_while(platform, service, SmsTemplate.objects.filter(key="parcel-0").delete)
        assert outcome == Imported(changed=2, left_alone=("SMS_200000",))
        assert SmsTemplate.objects.count() == 2


@pytest.mark.usefixtures("unreadable_replica")
class TestReplica:
    def test_everything_is_read_where_it_is_written(self, platform, service):
        second = create_service(platform, key="second", name="Second")
        platform.templates = registered(5)
        assert apply(service, compare(service).all_chosen) == Imported(new=5)
        assert apply(second, compare(second).all_chosen) == Imported(new=5)
        platform.templates = [replace(template, content=f"New {template.code}") for template in platform.templates[1:]]
        (shared, *_others) = compare(service).changed
        assert shared.shared_with == ("Second",)
        assert apply(service, compare(service).all_chosen) == Imported(changed=4, gone=1)
        assert SmsTemplate.objects.using("default").count() == 5

    def test_credentials_that_were_just_changed_are_used(self, platform, service):
        platform.templates = registered(2)
        old = AlibabaCloudSms(pk=service.pk, key=service.key, access_key="LTAI5tOfYesterday")
        assert len(compare(old).new) == 2


def test_an_import_that_cannot_be_recorded_is_not_done(admin_client, platform, service):
    platform.templates = registered(2)
    page = admin_client.get(import_url(service))

    def fail(**kwargs: Any) -> None:
        raise DatabaseError

    pre_save.connect(fail, sender=LogEntry)
    try:
        with pytest.raises(DatabaseError):
            press(admin_client, service, page)
    finally:
        pre_save.disconnect(fail, sender=LogEntry)
    assert rows() == []
