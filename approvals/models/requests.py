"""Requests: one run of a process."""

from typing import Any

from django.conf import settings
from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from ..choices import OPEN_VISITS, RequestStatus, VisitStatus
from ..definitions import Definition, NodeDefinition
from .definitions import ProcessVersion
from .processes import Process


class RequestQuerySet(models.QuerySet["Request"]):
    def started_by(self, user: Any) -> "RequestQuerySet":
        """The inbox's “Started by me”, newest first."""
        return self.filter(initiator=user).order_by("-pk")

    def returned_to(self, user: Any) -> "RequestQuerySet":
        """Those that wait for their initiator, who can resubmit or withdraw them; newest first."""
        return self.filter(initiator=user, status=RequestStatus.RETURNED).order_by("-pk")

    def visible_to(self, user: Any) -> "RequestQuerySet":
        """Those that a user has something to do with, or all for those who may view or manage requests."""
        if user.is_active and any(user.has_perm(f"approvals.{may}_request") for may in ("view", "manage")):
            return self
        from .tasks import Task

        tasks = Task.objects.filter(request=OuterRef("pk"))
        return self.filter(Q(initiator=user) | Exists(tasks.filter(user=user)) | Exists(tasks.filter(handled_by=user)))

    def about(self, subject: models.Model) -> "RequestQuerySet":
        """Those about a row of any model, newest first."""
        content_type = ContentType.objects.get_for_model(subject)
        return self.filter(content_type=content_type, object_id=str(subject.pk)).order_by("-pk")

    def paused(self) -> "RequestQuerySet":
        """Those that wait for an administrator."""
        from .tasks import NodeVisit

        return self.filter(pk__in=NodeVisit.objects.filter(status=VisitStatus.PAUSED).values("request"))

    def with_pauses(self) -> "RequestQuerySet":
        """With ``is_paused``: whether each waits for an administrator."""
        from .tasks import NodeVisit

        paused = NodeVisit.objects.filter(request=OuterRef("pk"), status=VisitStatus.PAUSED)
        return self.annotate(is_paused=Exists(paused))

    def matching(self, words: str) -> "RequestQuerySet":
        """Those whose title, process or initiator holds these words."""
        return self.filter(
            Q(title__icontains=words) | Q(process__title__icontains=words) | Q(initiator_name__icontains=words)
        )

    def for_list(self) -> "RequestQuerySet":
        """With what a list shows of each, in one query."""
        return self.select_related("process", "initiator").with_pauses()


class SubjectField(GenericForeignKey):
    """The row of any model. As Django's, but ``None`` too where the project has that model no more."""

    def __get__(self, instance: Any, cls: Any = None) -> Any:
        pk = None if instance is None else instance.content_type_id
        if pk is not None and self.get_content_type(id=pk, using=instance._state.db).model_class() is None:
            return None
        return super().__get__(instance, cls)


class Request(models.Model):
    """Something that somebody asks for, on its way through a process.

    ``version`` counts the actions: each begins by raising it, which locks the row on every database. A new ``round``
    begins with every return. Names are kept as they were, so that the history outlives accounts.
    """

    process = models.ForeignKey(
        Process, models.PROTECT, db_index=False, related_name="requests", verbose_name=_("process")
    )
    process_version = models.ForeignKey(
        ProcessVersion, models.PROTECT, related_name="requests", verbose_name=_("version of the process")
    )
    title = models.CharField(_("title"), max_length=200)
    initiator = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        db_index=False,
        related_name="approval_requests",
        verbose_name=_("initiator"),
    )
    initiator_name = models.CharField(_("initiator's name"), max_length=200, blank=True, editable=False)
    content_type = models.ForeignKey(
        ContentType, models.PROTECT, null=True, blank=True, db_index=False, related_name="+", verbose_name=_("kind")
    )
    object_id = models.CharField(_("id of the subject"), max_length=64, blank=True)
    subject = SubjectField("content_type", "object_id")
    data = models.JSONField(_("data"), default=dict, blank=True)

    #: Of the form by which it was begun: a second click begins no second request.
    submission_key = models.UUIDField(null=True, blank=True, editable=False)
    status = models.CharField(_("status"), max_length=12, choices=RequestStatus.choices, default=RequestStatus.RUNNING)
    round = models.PositiveIntegerField(_("round"), default=1)
    version = models.PositiveIntegerField(default=0, editable=False)
    reminded_at = models.DateTimeField(_("initiator's last reminder"), null=True, blank=True, editable=False)
    created_at = models.DateTimeField(_("submitted"), default=timezone.now)
    finished_at = models.DateTimeField(pgettext_lazy("approvals", "finished"), null=True, blank=True)

    objects = RequestQuerySet.as_manager()

    class Meta:
        verbose_name = _("request")
        verbose_name_plural = _("requests")
        ordering = ("-pk",)
        default_permissions = ("view",)
        permissions = [("manage_request", _("Can resume, withdraw and transfer the requests of others"))]
        constraints = [
            models.CheckConstraint(condition=Q(status__in=RequestStatus.values), name="approval_request_status_known"),
            models.UniqueConstraint(
                fields=["initiator", "submission_key"], name="approval_one_request_per_submission_key"
            ),
        ]
        # The first three stand in for the foreign keys' own indexes.
        indexes = [
            models.Index(fields=["initiator", "id"], name="approval_request_initiator"),
            models.Index(fields=["process", "status", "id"], name="approval_request_process"),
            models.Index(fields=["content_type", "object_id"], name="approval_request_subject"),
            models.Index(fields=["status", "id"], name="approval_request_status"),
            models.Index(fields=["initiator", "status", "id"], name="approval_request_returned"),
        ]

    def __str__(self) -> str:
        return self.title

    @cached_property
    def definition(self) -> Definition:
        """The process as it was when this request was submitted."""
        return Definition.from_json(self.process_version.definition)

    @property
    def current_visit(self) -> Any:
        """The visit to the node at which it stands; ``None`` where it stands at none. One query."""
        return self.visits.filter(status__in=OPEN_VISITS).order_by("-number").first()

    @property
    def current_node(self) -> NodeDefinition | None:
        """The node at which it stands. One query."""
        visit = self.current_visit
        return self.definition.nodes[visit.position] if visit else None
