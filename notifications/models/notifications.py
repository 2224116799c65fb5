"""Notifications: one text to many people, and how far it is."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import models, router
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from sms_services.choices import MessageStatus, Purpose, TemplateKind
from sms_services.fields import EncryptedTextField
from sms_services.models import SmsBatch, SmsMessage, SmsService, SmsTemplate

from ..choices import NotificationProblem, NotificationStatus
from .audience import Audience
from .links import name_links

if TYPE_CHECKING:
    from .recipients import Recipient

#: How many people a notification has in total and in each status of a message; skipped ones may have no message.
Counts = dict[str, int]


class NotificationQuerySet(models.QuerySet["Notification"]):
    def counts(self) -> dict[int, Counts]:
        """The counts of several notifications by their primary keys, in three queries; see ``Notification.counts``."""
        known: dict[int, Counts] = {}
        batches: dict[int, int] = {}
        cancelled: set[int] = set()
        for pk, batch, final, status in self.values_list("pk", "batch", "final_counts", "status"):
            known[pk] = final or dict.fromkeys([*MessageStatus.values, "total"], 0)
            if final is None:
                batches[batch] = pk
            if status == NotificationStatus.CANCELLED:
                cancelled.add(pk)
        messages = SmsMessage.objects.using(self.db).filter(batch__in=batches).order_by()
        for batch, status, count in messages.values_list("batch", "status").annotate(models.Count("pk")):
            known[batches[batch]][status] += count
        skipped = self._recipients().filter(notification__in=batches.values(), skip_reason__gt="").order_by()
        for pk, count in skipped.values_list("notification").annotate(models.Count("pk")):
            known[pk][MessageStatus.SKIPPED] += count
        for pk in batches.values():
            known[pk]["total"] = sum(known[pk].values())
        for pk in cancelled:  # its batch is closed: what is queued never leaves, and is marked so in its turn
            known[pk][MessageStatus.SKIPPED] += known[pk][MessageStatus.QUEUED]
            known[pk][MessageStatus.QUEUED] = 0
        return known

    def segments(self) -> dict[int, int]:
        """The segments of several notifications by their primary keys, in two queries.

        See ``Notification.segments``.
        """
        known: dict[int, int] = {}
        batches: dict[int, int] = {}
        for pk, batch, final in self.values_list("pk", "batch", "final_segments"):
            known[pk] = final or 0
            if final is None:
                batches[batch] = pk
        messages = SmsMessage.objects.using(self.db).filter(batch__in=batches).order_by()
        for batch, count in messages.values_list("batch").annotate(models.Sum("segments")):
            known[batches[batch]] = count or 0
        return known

    def _recipients(self) -> "models.QuerySet[Recipient]":
        from .recipients import Recipient

        return Recipient.objects.using(self.db)

    def overdue(self, now: datetime) -> "NotificationQuerySet":
        """What the sweep has to look after, the longest overdue first."""
        return self.filter(sweep_at__lte=now).order_by("sweep_at")


class Notification(Audience):
    """One call of ``notify()``: the recipients asked for, and what they are sent.

    The wording, the template's code and the variables are frozen with it. ``variables`` are the same for everybody;
    ``recipient_fields`` names, per variable, the field of each recipient's user that it is read from; a retry reads
    nothing: its values stand in the old messages. Sensitive variables are encrypted, and wiped when it is finished.

    Recipients are resolved when it starts, in the order of their users' primary keys; ``cursor`` is the last one that
    was, ``expanded_at`` is set after the very last; ``problem`` says what stops that, as long as something does. A
    worker has it until ``leased_until``. Its ``batch`` lets the messages leave, or not. ``sweep_at`` is when the sweep
    looks after it. ``final_counts`` and ``final_segments`` stand in for the messages once nothing changes any more,
    or before the first of them is purged.
    """

    key = models.SlugField(_("preset"), max_length=50, blank=True, help_text=_("The key of its preset."))
    idempotency_key = models.CharField(_("idempotency key"), max_length=200, blank=True, db_index=True)
    # Unique in its place: collations take keys for equal that differ in capitals or accents.
    idempotency_digest = models.CharField(max_length=64, null=True, blank=True, unique=True, editable=False)
    fingerprint = models.CharField(max_length=64, blank=True, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("sent by")
    )
    retry_of = models.ForeignKey(
        "self", models.SET_NULL, null=True, blank=True, related_name="retries", verbose_name=_("retry of")
    )

    service = models.ForeignKey(SmsService, models.PROTECT, related_name="+", verbose_name=_("SMS service"))
    template = models.ForeignKey(
        SmsTemplate, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("template")
    )
    purpose = models.CharField(_("purpose"), max_length=20, choices=Purpose.choices)
    text = models.TextField(_("text"), blank=True)
    template_code = models.CharField(_("template code"), max_length=64, blank=True)
    template_kind = models.CharField(_("registered as"), max_length=16, choices=TemplateKind.choices, blank=True)
    variables = models.JSONField(_("variables"), default=dict, blank=True)
    sensitive_variables = EncryptedTextField(_("sensitive variables"), blank=True, default="")
    recipient_fields = models.JSONField(_("variables looked up on each recipient"), default=dict, blank=True)

    status = models.CharField(
        _("status"), max_length=12, choices=NotificationStatus.choices, default=NotificationStatus.RUNNING
    )
    batch = models.OneToOneField(SmsBatch, models.PROTECT, related_name="notification", editable=False)
    problem = models.CharField(_("problem"), max_length=16, choices=NotificationProblem.choices, blank=True)
    cursor = models.CharField(max_length=255, blank=True, editable=False)
    leased_until = models.DateTimeField(null=True, blank=True, editable=False)
    final_counts = models.JSONField(null=True, blank=True, editable=False)
    final_segments = models.PositiveIntegerField(null=True, blank=True, editable=False)

    created_at = models.DateTimeField(_("created"), default=timezone.now, db_index=True)
    send_at = models.DateTimeField(_("not before"), null=True, blank=True)
    expires_at = models.DateTimeField(_("not after"), null=True, blank=True)
    started_at = models.DateTimeField(_("started"), null=True, blank=True)
    expanded_at = models.DateTimeField(_("recipients resolved"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)
    sweep_at = models.DateTimeField(null=True, blank=True, default=timezone.now, editable=False, db_index=True)

    objects = NotificationQuerySet.as_manager()

    class Meta:
        verbose_name = _("notification")
        verbose_name_plural = _("notifications")
        ordering = ("-pk",)
        default_permissions = ("view",)
        permissions = [
            ("compose_notification", _("Can compose and send notifications")),
            ("control_notification", _("Can pause, resume, cancel and retry notifications")),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(status__in=NotificationStatus.values), name="notification_status_known"
            ),
        ]

    def __str__(self) -> str:
        name = (self.template.name if self.template else self.template_code) or str(self._meta.verbose_name)
        return f"{name} ({self.pk})" if self.pk else name

    def __repr__(self) -> str:
        return f"<Notification {self.pk}: {self.status}>"

    def has_expired(self, now: datetime) -> bool:
        """Whether it is too late for what has not left."""
        return self.expires_at is not None and self.expires_at <= now

    @property
    def problem_words(self) -> str:
        """What keeps its recipients from being resolved, and what to do about it; empty if nothing does."""
        return self.get_problem_display()

    def counts(self) -> Counts:
        """How many people are in which status: ``queued``, ``sending``, ``sent``, ``delivered``, ``undelivered``,
        ``failed``, ``unknown``, ``skipped``, and in ``total``.

        Each person is counted once. The total grows until ``expanded_at`` is set. Two or three queries, on the
        database that is written to.
        """
        rows = Notification.objects.using(router.db_for_write(Notification))
        return rows.filter(pk=self.pk).counts()[self.pk]

    def segments(self) -> int:
        """How many segments its texts took, as far as that is known. Reads all its messages, until they are final."""
        if self.final_segments is not None:
            return self.final_segments
        rows = Notification.objects.using(router.db_for_write(Notification))
        return rows.filter(pk=self.pk).segments()[self.pk]


def numbered(row: Any) -> str:
    """A row's notification, by its number: somebody may be in thousands, and the name of each would be two queries."""
    return str(_("Notification %d") % row.notification_id)


name_links(Notification, "users", "departments", "roles", label=numbered)
