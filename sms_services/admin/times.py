"""Times to the second, in the admin's zone and named with it: for comparing with what a provider's log says."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.utils import timezone
from django.utils.formats import date_format


def to_the_second(moment: datetime) -> str:
    local = timezone.localtime(moment)
    return f"{date_format(local, 'DATE_FORMAT')}, {local:%H:%M:%S} {date_format(local, 'T')}"


def exactly(model: type[Model], name: str) -> Callable[[Any, Any], str]:
    """A method for an admin that shows this field of its rows to the second."""

    @admin.display(description=model._meta.get_field(name).verbose_name)  # type: ignore[union-attr]
    def shown(_self: Any, row: Any) -> str:
        moment: datetime | None = getattr(row, name)
        return to_the_second(moment) if moment else "-"

    return shown
