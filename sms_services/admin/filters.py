"""The log's filters, each a value that an index begins with."""

from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import BooleanField, Exists, F, Func, OuterRef, Subquery
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from ..choices import Outcome
from ..models import SmsAttempt, SmsService, SmsTemplate

#: More links than this would push the other filters off the screen.
_MOST_LINKS = 8
#: Up to so many failed tries of an outcome are looked up one by one, for every page.
_FEW_TRIES = 10_000


class _RelationFilter(admin.SimpleListFilter):
    """One row of another table; a list of links while there are few, else a field to choose from."""

    field = ""
    hidden: list[tuple[str, str]] = []

    @property
    def template(self) -> str:  # type: ignore[override]
        if len(self.lookup_choices) > _MOST_LINKS:
            return "admin/sms_services/smsmessage/select_filter.html"
        return "admin/filter.html"

    def queryset(self, request: HttpRequest, messages: Any) -> Any:
        value = self.value()
        if not value:
            return messages
        is_id = value.isdecimal() and len(value) <= 18
        return messages.filter(**{self.field: int(value)}) if is_id else messages.none()

    def choices(self, changelist: Any) -> Iterator[Any]:
        ours = (self.parameter_name, "before", "after", "end", "p", "e")
        self.hidden = [(name, value) for name, value in changelist.params.items() if name not in ours]
        values = [None, *(value for value, _label in self.lookup_choices)]
        for value, choice in zip(values, super().choices(changelist), strict=True):
            yield {**choice, "value": "" if value is None else value}


class ServiceFilter(_RelationFilter):
    title = _("service")
    parameter_name = "service"
    field = "service"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(pk), name) for pk, name in SmsService.objects.non_polymorphic().values_list("pk", "name")]


class TemplateFilter(_RelationFilter):
    title = _("template")
    parameter_name = "template"
    field = "template"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(pk), name) for pk, name in SmsTemplate.objects.values_list("pk", "name")]


class _IsAmong(Func):
    """A primary key among those of a query, looked up one by one: as many rows are read as that query has.

    PostgreSQL takes an ``IN`` for a hint that it will soon meet enough of them on its way through the log, and where
    none has the other filters' values, it reads the log to its end.
    """

    template = "%(expressions)s"
    arg_joiner = " IN "
    output_field = BooleanField()

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template="%(expressions)s)", arg_joiner=" = ANY(ARRAY", **context)


class FailedTryFilter(admin.SimpleListFilter):
    """Messages with a try of this outcome, whatever became of them in the end.

    A refused try is none to choose: it always ends its message, as failed and with a kind, which have filters.

    Where there are few, the messages of all of them are looked up: the way through the log to the next one may be long.
    Where there are many it is short, and a list of all of them would be made for every page.
    """

    title = _("failed try")
    parameter_name = "try"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(outcome.value, outcome.label) for outcome in (Outcome.NOT_SENT, Outcome.UNCERTAIN)]

    def queryset(self, request: HttpRequest, messages: Any) -> Any:
        if not self.value():
            return messages
        if self.value() not in dict(self.lookup_choices):
            raise IncorrectLookupParameters
        tries = SmsAttempt.objects.filter(outcome=self.value()).order_by()
        if tries[_FEW_TRIES:].exists():
            return messages.filter(Exists(tries.filter(message=OuterRef("pk"))))
        return messages.filter(_IsAmong(F("pk"), Subquery(tries.values("message").distinct())))
