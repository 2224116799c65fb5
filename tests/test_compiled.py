"""Rows by SQL that is built once: what Django's ORM would have read."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from sms_services.compiled import fetch
from sms_services.models import AlibabaCloudSms, SmsTemplate, TemplateCode, current_service
from tests.services_under_test import create_template

pytestmark = [pytest.mark.django_db, pytest.mark.databases]


@pytest.fixture
def service():
    return AlibabaCloudSms.objects.create(
        key="cloud", name="云 100%", access_key="LTAI", access_secret="it's secret", verify_sign="签名", is_active=False
    )


def fields_of(row):
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}


def test_a_row_of_two_tables_has_every_value_and_type(service):
    row = fetch(AlibabaCloudSms, "default", key="cloud")
    assert type(row) is AlibabaCloudSms
    assert fields_of(row) == fields_of(AlibabaCloudSms.objects.get())
    assert row.is_active is False
    assert row.access_secret.reveal() == "it's secret"
    assert row.max_per_second is None
    assert not row._state.adding
    row.name = "other"
    row.save()
    assert AlibabaCloudSms.objects.get().name == "other"


def test_times_have_their_zone(service):
    template = create_template(service)
    TemplateCode.objects.update(checked_at=timezone.now())
    row = fetch(TemplateCode, "default", template_id=template.pk, service_id=service.pk)
    assert fields_of(row) == fields_of(TemplateCode.objects.get())
    assert row.checked_at.tzinfo is not None


def test_none_is_found_where_there_is_none(service):
    assert fetch(SmsTemplate, "default", key="nothing") is None
    assert fetch(TemplateCode, "default", template_id=1, service_id=service.pk) is None


def test_the_row_is_read_every_time(service):
    create_template()
    assert fetch(SmsTemplate, "default", key="greeting").text == "Hello ${name}"
    SmsTemplate.objects.update(text="Bye ${name}")
    with CaptureQueriesContext(connection) as queries:
        assert fetch(SmsTemplate, "default", key="greeting").text == "Bye ${name}"
    assert len(queries) == 1


def test_a_service_costs_one_query_once_its_kind_is_known(service):
    current_service("cloud")
    AlibabaCloudSms.objects.update(is_active=True)
    with CaptureQueriesContext(connection) as queries:
        assert current_service("cloud").is_active
    assert len(queries) == 1
