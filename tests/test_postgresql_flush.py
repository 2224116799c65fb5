"""Tables are emptied after a test by DELETE, on PostgreSQL: also of what another session commits a moment later."""

import threading

import pytest
from django.core.management import call_command
from django.db import connection

from sms_services.models import SmsBatch

pytestmark = [pytest.mark.databases, pytest.mark.django_db(transaction=True)]

INSERT = f"INSERT INTO {SmsBatch._meta.db_table} (state, is_put_off, created_at) VALUES ('open', false, now())"


@pytest.mark.skipif(connection.vendor != "postgresql", reason="The other databases are emptied by Django itself.")
def test_what_another_session_is_about_to_commit_is_emptied_too():
    other = connection.copy()
    try:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute(INSERT)
        later = threading.Timer(1.0, other.connection.commit)
        later.start()
        call_command("flush", interactive=False, reset_sequences=False, verbosity=0)
        later.join()
    finally:
        other.close()
    assert not SmsBatch.objects.exists()
