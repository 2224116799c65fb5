"""A project whose reads go to a replica, for tests of what must be read where it is written."""

from typing import Any

import pytest


class ReadsElsewhere:
    """A router that sends the reads of this app to a replica that does not answer: whoever reads there, fails."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return "replica" if model._meta.app_label == "sms_services" else None


@pytest.fixture
def unreadable_replica(settings: Any) -> None:
    settings.DATABASE_ROUTERS = ["tests.replica.ReadsElsewhere"]
