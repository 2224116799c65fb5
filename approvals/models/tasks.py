"""Visits of requests to nodes, and the tasks that people get there."""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Case, Q, Value, When
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..choices import OPEN_TASKS, OPEN_VISITS, NodeKind, NodeMode, TaskStatus, VisitStatus
from .requests import Request


class NodeVisit(models.Model):
    """A request at a node, once. Where it comes there again after a return, there is another one.

    ``number`` counts the visits of a request, so that two can never advance it at the same time. ``position`` is the
    node's place in the request's definition; ``mode`` is the node's, unless administrators stand in for its approvers.
    """

    request = models.ForeignKey(
        Request, models.CASCADE, db_index=False, related_name="visits", verbose_name=_("request")
    )
    number = models.PositiveIntegerField(_("number"))
    round = models.PositiveIntegerField(_("round"))
    position = models.PositiveSmallIntegerField(_("position"))
    node_key = models.CharField(_("step"), max_length=50)
    node_title = models.CharField(_("title"), max_length=100)
    kind = models.CharField(_("kind"), max_length=10, choices=NodeKind.choices)
    mode = models.CharField(_("needed approvals"), max_length=12, choices=NodeMode.choices)
    status = models.CharField(_("status"), max_length=12, choices=VisitStatus.choices, default=VisitStatus.RUNNING)
    entered_at = models.DateTimeField(_("reached"), default=timezone.now)
    left_at = models.DateTimeField(_("left"), null=True, blank=True)
    #: Exactly one of a request's visits can be open.
    open = models.GeneratedField(
        expression=Case(When(status__in=OPEN_VISITS, then=Value(1)), default=Value(None)),
        output_field=models.SmallIntegerField(null=True),
        db_persist=True,
    )

    class Meta:
        verbose_name = _("step of a request")
        verbose_name_plural = _("steps of requests")
        ordering = ("request", "number")
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["request", "number"], name="approval_one_visit_per_number"),
            models.UniqueConstraint(fields=["request", "open"], name="approval_one_open_visit_per_request"),
            models.CheckConstraint(condition=Q(status__in=VisitStatus.values), name="approval_visit_status_known"),
        ]
        indexes = [models.Index(fields=["status"], name="approval_visit_status")]

    def __str__(self) -> str:
        return self.node_title


class TaskQuerySet(models.QuerySet["Task"]):
    """The inbox's lists, newest first. ``Task`` has an index for each."""

    def todo(self, user: Any) -> "TaskQuerySet":
        return self.filter(user=user, status=TaskStatus.PENDING).order_by("-pk")

    def done(self, user: Any) -> "TaskQuerySet":
        return self.filter(handled_by=user).order_by("-pk")

    def copied_to(self, user: Any) -> "TaskQuerySet":
        return self.filter(user=user, status=TaskStatus.COPIED).order_by("-pk")

    def open(self) -> "TaskQuerySet":
        return self.filter(status__in=OPEN_TASKS)

    def pending(self) -> "TaskQuerySet":
        return self.filter(status=TaskStatus.PENDING)

    def matching(self, words: str) -> "TaskQuerySet":
        """Those of requests whose title, process or initiator holds these words."""
        return self.filter(
            Q(request__title__icontains=words)
            | Q(request__process__title__icontains=words)
            | Q(request__initiator_name__icontains=words)
        )

    def for_list(self) -> "TaskQuerySet":
        """With what a list shows of each, in one query."""
        return self.select_related("request__process", "request__initiator", "visit")

    def to_remind(self, now: datetime) -> "TaskQuerySet":
        """Those whose reminder is due. Only pending tasks have a time for it."""
        return self.filter(remind_at__lte=now)

    def to_escalate(self, now: datetime) -> "TaskQuerySet":
        """Those whose escalation is due. Only pending tasks have a time for it."""
        return self.filter(escalate_at__lte=now)


class Task(models.Model):
    """What one person has to do, or is told, at one visit to a node.

    ``user`` is who is asked, ``handled_by`` who acted (for another one, where an administrator transferred it), and
    ``closed_by`` the event that ended it, also where somebody else's action did. ``order`` is the turn in a
    sequence. ``remind_at`` and ``escalate_at`` are emptied when that is done: once each.
    """

    request = models.ForeignKey(Request, models.CASCADE, related_name="tasks", verbose_name=_("request"))
    visit = models.ForeignKey(NodeVisit, models.CASCADE, db_index=False, related_name="tasks", verbose_name=_("step"))
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        db_index=False,
        related_name="approval_tasks",
        verbose_name=_("user"),
    )
    user_name = models.CharField(_("person"), max_length=200, blank=True, editable=False)
    order = models.PositiveIntegerField(_("turn"), default=0)
    status = models.CharField(_("status"), max_length=12, choices=TaskStatus.choices, default=TaskStatus.PENDING)
    handled_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        db_index=False,
        related_name="+",
        verbose_name=_("handled by"),
    )
    closed_by = models.ForeignKey(
        "approvals.Event", models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("ended by")
    )
    transferred_from = models.ForeignKey(
        "self", models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("transferred from")
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    pending_at = models.DateTimeField(_("their turn since"), null=True, blank=True)
    closed_at = models.DateTimeField(_("ended"), null=True, blank=True)
    remind_at = models.DateTimeField(null=True, blank=True, editable=False, db_index=True)
    escalate_at = models.DateTimeField(null=True, blank=True, editable=False, db_index=True)
    #: Nobody has two open tasks at one visit.
    open = models.GeneratedField(
        expression=Case(When(status__in=OPEN_TASKS, then=Value(1)), default=Value(None)),
        output_field=models.SmallIntegerField(null=True),
        db_persist=True,
    )

    objects = TaskQuerySet.as_manager()

    class Meta:
        verbose_name = _("task")
        verbose_name_plural = _("tasks")
        ordering = ("visit", "order", "pk")
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(fields=["visit", "user", "open"], name="approval_one_open_task_per_visit_and_user"),
            models.CheckConstraint(condition=Q(status__in=TaskStatus.values), name="approval_task_status_known"),
        ]
        # The first three stand in for the foreign keys' own indexes.
        indexes = [
            models.Index(fields=["user", "status", "id"], name="approval_task_user"),
            models.Index(fields=["handled_by", "id"], name="approval_task_handled_by"),
            models.Index(fields=["visit", "order", "id"], name="approval_task_visit"),
            models.Index(fields=["open", "user", "id"], name="approval_task_open"),  # who still has any
        ]

    def __str__(self) -> str:
        return f"{self.user_name}: {self.get_status_display()}"

    @property
    def key(self) -> str:
        """What the signals call it."""
        return f"approvals:{self.pk}"
