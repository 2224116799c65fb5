"""Messages: one text to one number, a row before the provider is called; and the tries that failed."""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar

from django.db import models
from django.db.models.functions import Coalesce
from django.db.models.lookups import In
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..choices import ErrorKind, MessageStatus, Outcome, Purpose, SkipReason, TemplateKind
from ..encryption import MASK
from ..fields import EncryptedTextField
from ..keyset import Position, is_after, is_before
from ..params import sensitive_names
from ..phone_numbers import mask
from ..placeholders import placeholder_names, render
from ..providers.base import OutgoingMessage
from .batches import SmsBatch
from .services import SmsService
from .templates import SmsTemplate

#: What a receipt can say.
RECEIPTS = (MessageStatus.DELIVERED, MessageStatus.UNDELIVERED)


def stands_at(*statuses: MessageStatus) -> models.Q:
    """A condition on the status of rows that are found by something else. No index serves it, on purpose.

    Right after many rows were written or moved on, PostgreSQL's statistics do not know it. It would take the log's
    index by status, and read all that are queued once for each id.
    """
    return models.Q(In(Coalesce("status", models.Value("")), statuses))


def is_sendable(now: datetime) -> models.Q:
    """Queued, due, not expired and not held back: a condition on rows that are found by something else."""
    # A second's grace: the task that tries again may run on a host whose clock is a little behind.
    due = models.Q(due_at=None) | models.Q(due_at__lte=now + timedelta(seconds=1))
    in_time = models.Q(expires_at=None) | models.Q(expires_at__gt=now)
    return stands_at(MessageStatus.QUEUED) & due & in_time & _not_held(now)


def _not_held(now: datetime) -> models.Q:
    """Of no batch, or of one whose messages may leave."""
    sending = SmsBatch.objects.sending(now).filter(pk=models.OuterRef("batch"))
    return models.Q(batch=None) | models.Q(models.Exists(sending))


class SmsMessageQuerySet(models.QuerySet["SmsMessage"]):
    """The steps of a message, each a conditional UPDATE whose row count tells who took it."""

    def by_id(self, pks: Iterable[int], *statuses: MessageStatus) -> "SmsMessageQuerySet":
        """Those of these messages that stand at one of these statuses."""
        return self.filter(stands_at(*statuses), pk__in=pks)

    def with_retries(self, pks: Iterable[int]) -> list[int]:
        """The ids of these messages and of their retries, of those retries' retries, and so on."""
        found: list[int] = []
        newest = list(pks)
        while newest:
            found += newest
            newest = list(self.filter(retry_of__in=newest).values_list("pk", flat=True))
        return found

    def sendable(self, pks: Iterable[int], now: datetime) -> "SmsMessageQuerySet":
        """Those of these messages that may be sent now."""
        return self.filter(is_sendable(now), pk__in=pks)

    def held_back(self, now: datetime) -> "SmsMessageQuerySet":
        """Queued, and of a batch whose messages may not leave."""
        return self.filter(stands_at(MessageStatus.QUEUED), ~_not_held(now), batch__isnull=False)

    def claim(self, pks: Iterable[int], claim: str, now: datetime, until: datetime, account: str) -> int:
        """Take those of these messages that may be sent, for one caller; returns how many it got.

        Args:
            claim: a new id, by which the caller finds its messages and settles them.
            until: when the caller counts as dead.
            account: the account at the provider through which they are tried.
        """
        return self.sendable(pks, now).update(
            status=MessageStatus.SENDING,
            claim=claim,
            account=account,
            claimed_at=now,
            sweep_at=until,
            tries=models.F("tries") + 1,
        )

    def skip(self, reason: SkipReason) -> int:
        """Let those that are queued never leave; returns how many these are."""
        return self.filter(stands_at(MessageStatus.QUEUED)).update(
            status=MessageStatus.SKIPPED, skip_reason=reason, sensitive_params="", due_at=None, sweep_at=None
        )

    def claimed(self, pks: Iterable[int], claim: str) -> "SmsMessageQuerySet":
        """Those of these messages that ``claim`` took and has not settled."""
        return self.by_id(pks, MessageStatus.SENDING).filter(claim=claim)

    def apply_receipt(self, status: str, *, error_kind: str = "", code: str = "") -> int:
        """Move messages on by a receipt, where ``TRANSITIONS`` has that step; returns how many it moved.

        A late or repeated receipt moves nothing, nor does one of a message that is not known to have gone out.

        Args:
            status: ``delivered`` or ``undelivered``.
            error_kind: why the carrier gave up.
            code: the provider's code for that.

        Raises:
            ValueError: a receipt cannot say this.
        """
        if status not in RECEIPTS:
            raise ValueError(f"A receipt says {' or '.join(RECEIPTS)}, not {str(status)!r}.")
        before = [known for known, steps in self.model.TRANSITIONS.items() if status in steps]
        return self.filter(status__in=before).update(
            status=status,
            error_kind=error_kind,
            provider_code=code,
            provider_detail="",
            sent_at=Coalesce("sent_at", "claimed_at"),
            sweep_at=None,
        )

    def overdue(self, status: MessageStatus, now: datetime) -> "SmsMessageQuerySet":
        """Messages in a status whose time for the sweep has come, the longest overdue first.

        What a batch holds back is left alone: there is nothing to do for it.
        """
        overdue = self.filter(status=status, sweep_at__lte=now).order_by("sweep_at")
        return overdue.filter(_not_held(now)) if status == MessageStatus.QUEUED else overdue

    def settled(self) -> "SmsMessageQuerySet":
        """Messages with which nothing is under way: neither a try nor a look-up."""
        under_way = (MessageStatus.QUEUED, MessageStatus.SENDING, MessageStatus.UNKNOWN)
        return self.filter(~models.Q(status__in=under_way) | models.Q(status=MessageStatus.UNKNOWN, sweep_at=None))

    def newest_first(self) -> "SmsMessageQuerySet":
        """In the order of the log, which its indexes have too."""
        return self.order_by("-created_at", "-pk")

    def oldest_first(self) -> "SmsMessageQuerySet":
        return self.order_by("created_at", "pk")

    def older_than(self, position: Position) -> "SmsMessageQuerySet":
        """What comes after a position of the log, newest first."""
        # The first condition is implied by the second one; MariaDB finds its place in an index only by the first.
        return self.filter(is_before(position), created_at__lte=position.created_at)

    def newer_than(self, position: Position) -> "SmsMessageQuerySet":
        return self.filter(is_after(position), created_at__gte=position.created_at)


class SmsMessage(models.Model):
    """One text to one number.

    The wording and the variables are frozen with it. Sensitive variables are encrypted, and wiped once the
    outcome is known. ``due_at`` is the earliest next try (empty: at once); after ``expires_at`` no worker takes it
    (empty: it never expires). ``sweep_at`` is when the sweep looks after a message that has not moved on (empty: it has
    nothing more to do). ``account`` is the provider's account of the last try: another one knows nothing of it.
    ``hidden_names`` are the names of the sensitive variables: they stay when the values are wiped. ``retry_of`` is the
    message that a person had sent once more with this one.
    """

    service = models.ForeignKey(
        SmsService, models.PROTECT, db_index=False, related_name="messages", verbose_name=_("service")
    )
    template = models.ForeignKey(
        SmsTemplate,
        models.SET_NULL,
        null=True,
        blank=True,
        db_index=False,
        related_name="messages",
        verbose_name=_("template"),
    )
    purpose = models.CharField(_("purpose"), max_length=20, choices=Purpose.choices)
    phone_number = models.CharField(_("phone number"), max_length=16, help_text="E.164")
    text = models.TextField(_("text"), blank=True, help_text=_("The wording, with its placeholders."))
    template_code = models.CharField(_("template code"), max_length=64, blank=True)
    template_kind = models.CharField(_("registered as"), max_length=16, choices=TemplateKind.choices, blank=True)
    params = models.JSONField(_("variables"), default=dict, blank=True)
    sensitive_params = EncryptedTextField(_("sensitive variables"), blank=True, default="")
    hidden_names = models.JSONField(default=list, blank=True, editable=False)
    retry_of = models.ForeignKey(
        "self",
        models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        db_index=False,
        related_name="retries",
        verbose_name=_("retry of"),
    )

    batch = models.ForeignKey(
        SmsBatch,
        models.PROTECT,
        null=True,
        blank=True,
        editable=False,
        db_index=False,
        related_name="messages",
        verbose_name=_("batch"),
    )

    status = models.CharField(_("status"), max_length=12, choices=MessageStatus.choices, default=MessageStatus.QUEUED)
    skip_reason = models.CharField(_("why skipped"), max_length=12, choices=SkipReason.choices, blank=True)
    error_kind = models.CharField(_("kind of error"), max_length=12, choices=ErrorKind.choices, blank=True)
    provider_code = models.CharField(_("provider's code"), max_length=64, blank=True)
    provider_detail = models.CharField(_("provider's words"), max_length=255, blank=True)
    provider_request_id = models.CharField(_("request id"), max_length=64, blank=True)
    provider_message_id = models.CharField(_("provider's message id"), max_length=64, blank=True)
    segments = models.PositiveSmallIntegerField(_("segments"), null=True, blank=True)
    tries = models.PositiveSmallIntegerField(_("tries"), default=0)
    claim = models.CharField(max_length=32, blank=True, editable=False)
    account = models.CharField(_("account"), max_length=128, blank=True)

    created_at = models.DateTimeField(_("created"), default=timezone.now)
    due_at = models.DateTimeField(_("not before"), null=True, blank=True)
    expires_at = models.DateTimeField(_("not after"), null=True, blank=True)
    claimed_at = models.DateTimeField(_("tried"), null=True, blank=True)
    sent_at = models.DateTimeField(_("sent"), null=True, blank=True)
    sweep_at = models.DateTimeField(null=True, blank=True, default=timezone.now, editable=False, db_index=True)

    objects = SmsMessageQuerySet.as_manager()

    #: The variables as ``set_params`` got them, so that the process that has them need not decrypt.
    _plain_params: dict[str, str] | None = None

    #: Every step that exists. Anything else changes nothing.
    TRANSITIONS: ClassVar[Mapping[str, frozenset[str]]] = {
        MessageStatus.QUEUED: frozenset({MessageStatus.SENDING, MessageStatus.SKIPPED}),
        MessageStatus.SENDING: frozenset(
            {MessageStatus.SENT, MessageStatus.FAILED, MessageStatus.QUEUED, MessageStatus.UNKNOWN}
        ),
        MessageStatus.SENT: frozenset({MessageStatus.DELIVERED, MessageStatus.UNDELIVERED}),
        MessageStatus.UNKNOWN: frozenset(
            {MessageStatus.SENT, MessageStatus.DELIVERED, MessageStatus.UNDELIVERED, MessageStatus.FAILED}
        ),
    }

    class Meta:
        verbose_name = _("SMS message")
        verbose_name_plural = _("SMS messages")
        ordering = ("-pk",)
        constraints = [
            models.CheckConstraint(condition=models.Q(status__in=MessageStatus.values), name="message_status_known"),
            # However many people retry a message at once, one retry comes of it.
            models.UniqueConstraint(fields=["retry_of"], name="one_retry_per_message"),
            # Whatever is repeated, killed or run twice, a number gets one message of a batch.
            models.UniqueConstraint(fields=["batch", "phone_number"], name="one_message_per_batch_and_number"),
        ]
        # Every index is written three times per message: at its creation, its claim and its outcome. Those of the log
        # begin with what is filtered by and go on in the log's order, so that any page of a filtered log is one range.
        indexes = [
            # The log without a filter, and its dates.
            models.Index(fields=["created_at", "id"], name="sms_log_created"),
            # What failed, what is in doubt: few of many.
            models.Index(fields=["status", "created_at", "id"], name="sms_log_status"),
            models.Index(fields=["error_kind", "created_at", "id"], name="sms_log_error_kind"),
            # Also what the purge walks along.
            models.Index(fields=["purpose", "created_at", "id"], name="sms_log_purpose"),
            # These two stand in for the foreign keys' own indexes.
            models.Index(fields=["service", "created_at", "id"], name="sms_log_service"),
            models.Index(fields=["template", "created_at", "id"], name="sms_log_template"),
            # How a batch stands, and what of it is still queued.
            models.Index(fields=["batch", "status", "id"], name="sms_message_batch"),
            # Looked up as a whole; a db_index would add a second index for prefixes on PostgreSQL.
            models.Index(fields=["phone_number"], name="sms_message_number"),
            models.Index(fields=["provider_message_id"], name="sms_message_provider_id"),
        ]
        permissions = [
            ("reveal_smsmessage", _("Can reveal phone numbers and texts of SMS messages")),
            ("retry_smsmessage", _("Can retry SMS messages")),
            ("export_smsmessage", _("Can export SMS messages")),
        ]

    def __str__(self) -> str:
        return f"{mask(self.phone_number)} ({self.get_status_display()})"

    def __repr__(self) -> str:
        return f"<SmsMessage {self.pk}: {self}>"

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_plain_params": None}

    def set_params(self, params: Mapping[str, str]) -> None:
        """Freeze the variables, the sensitive ones encrypted. Needs ``purpose``."""
        hidden = sensitive_names(self.purpose, params)
        self.params = {name: value for name, value in params.items() if name not in hidden}
        secret = {name: value for name, value in params.items() if name in hidden}
        self.sensitive_params = json.dumps(secret) if secret else ""
        self.hidden_names = sorted(hidden)
        self._plain_params = dict(params)

    def wipe_sensitive_params(self) -> None:
        """Forget them in this instance; what they were for is over."""
        self.sensitive_params = ""
        self._plain_params = None

    def all_params(self) -> dict[str, str]:
        """The variables, the sensitive ones decrypted.

        Raises:
            EncryptionKeyError: they were encrypted with a key that is not configured.
        """
        if self._plain_params is not None:
            return self._plain_params
        if not self.sensitive_params:
            return dict(self.params)
        return {**self.params, **json.loads(self.sensitive_params.reveal())}

    def has_expired(self, now: datetime) -> bool:
        """Whether it is too late to send it."""
        return self.expires_at is not None and self.expires_at <= now

    @property
    def wiped_names(self) -> tuple[str, ...]:
        """The sensitive variables whose values are gone, so that this text cannot be sent a second time."""
        if self.sensitive_params:
            return ()
        missing = [name for name in placeholder_names(self.text) if name not in self.params]
        return tuple(dict.fromkeys([*missing, *self.hidden_names]))

    def readable_text(self) -> str:
        """The text for a person who may read it. Sensitive variables are never shown, wiped or not."""
        shown = {name: self.params.get(name, MASK) for name in placeholder_names(self.text)}
        return render(self.text, shown)

    def outgoing(self) -> OutgoingMessage:
        """What the provider gets."""
        params = self.all_params()
        return OutgoingMessage(
            phone_number=self.phone_number,
            purpose=self.purpose,
            text=render(self.text, params),
            template_code=self.template_code,
            params=params,
            template_kind=self.template_kind,
        )


class SmsAttempt(models.Model):
    """One try that was not accepted. Accepted ones stand in the message itself."""

    message = models.ForeignKey(SmsMessage, models.CASCADE, related_name="attempts", verbose_name=_("message"))
    service = models.ForeignKey(SmsService, models.PROTECT, related_name="+", verbose_name=_("service"))
    outcome = models.CharField(_("outcome"), max_length=12, choices=Outcome.choices)
    error_kind = models.CharField(_("kind of error"), max_length=12, choices=ErrorKind.choices, blank=True)
    provider_code = models.CharField(_("provider's code"), max_length=64, blank=True)
    provider_detail = models.CharField(_("provider's words"), max_length=255, blank=True)
    provider_request_id = models.CharField(_("request id"), max_length=64, blank=True)
    started_at = models.DateTimeField(_("started"))
    finished_at = models.DateTimeField(_("finished"))

    class Meta:
        verbose_name = _("failed try")
        verbose_name_plural = _("failed tries")
        ordering = ("pk",)
        # Only failed tries are written here, so the index costs the others nothing.
        indexes = [models.Index(fields=["outcome", "message"], name="sms_attempt_outcome")]

    def __str__(self) -> str:
        return f"{self.get_outcome_display()} {self.provider_code}".strip()
