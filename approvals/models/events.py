"""The history: what was done, by whom, when. Rows are written once."""

import uuid
from typing import Any, NoReturn

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from ..choices import EventKind
from .requests import Request
from .tasks import NodeVisit, Task


class EventQuerySet(models.QuerySet["Event"]):
    def update(self, **kwargs: Any) -> NoReturn:
        raise TypeError("The history is append-only: events cannot be changed.")

    def delete(self) -> NoReturn:
        raise TypeError("The history is append-only: events cannot be deleted.")


class Event(models.Model):
    """Something that happened to a request. ``uid`` is the event id of the signals, the same in every repetition.

    ``others`` are the people whom it is about: to whom it was transferred, who was reminded, as
    ``[{"id": …, "name": …}]``. ``details`` says more where there is more, such as the node that it was returned to.
    """

    uid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    request = models.ForeignKey(Request, models.CASCADE, related_name="events", verbose_name=_("request"))
    visit = models.ForeignKey(
        NodeVisit, models.CASCADE, null=True, blank=True, related_name="events", verbose_name=_("step")
    )
    task = models.ForeignKey(Task, models.CASCADE, null=True, blank=True, related_name="events", verbose_name=_("task"))
    kind = models.CharField(pgettext_lazy("approvals", "what"), max_length=16, choices=EventKind.choices)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=pgettext_lazy("approvals", "who"),
    )
    actor_name = models.CharField(pgettext_lazy("approvals", "who"), max_length=200, blank=True)
    comment = models.TextField(_("comment"), blank=True)
    others = models.JSONField(_("about"), default=list, blank=True)
    details = models.JSONField(_("details"), default=dict, blank=True)
    at = models.DateTimeField(_("when"), default=timezone.now)

    objects = EventQuerySet.as_manager()

    class Meta:
        verbose_name = _("event")
        verbose_name_plural = _("events")
        ordering = ("pk",)
        default_permissions = ("view",)

    def __str__(self) -> str:
        return str(self.get_kind_display())

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError("The history is append-only: events cannot be changed.")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError("The history is append-only: events cannot be deleted.")

    @property
    def event_id(self) -> str:
        """What the signals call it."""
        return f"approvals:{self.uid}"
