"""Messages: one text to one number, a row before the provider is called; and the tries that failed."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar

from django.db import models
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..choices import ErrorKind, MessageStatus, Outcome, Purpose, SkipReason, TemplateKind
from ..fields import EncryptedTextField
from ..params import sensitive_names
from ..phone_numbers import mask
from ..placeholders import render
from ..providers.base import OutgoingMessage
from .services import SmsService
from .templates import SmsTemplate

#: What a receipt can say.
RECEIPTS = (MessageStatus.DELIVERED, MessageStatus.UNDELIVERED)


class SmsMessageQuerySet(models.QuerySet["SmsMessage"]):
    """The steps of a message, each a conditional UPDATE whose row count tells who took it."""

    def sendable(self, now: datetime) -> "SmsMessageQuerySet":
        """Queued and due."""
        # A second's grace: the task that tries again may run on a host whose clock is a little behind.
        due = models.Q(due_at=None) | models.Q(due_at__lte=now + timedelta(seconds=1))
        return self.filter(due, status=MessageStatus.QUEUED)

    def claim(self, claim: str, now: datetime, until: datetime, account: str) -> int:
        """Take queued messages for one caller; returns how many it got.

        Args:
            claim: a new id, by which the caller finds its messages and settles them.
            until: when the caller counts as dead.
            account: the account at the provider through which they are tried.
        """
        return self.sendable(now).update(
            status=MessageStatus.SENDING,
            claim=claim,
            account=account,
            claimed_at=now,
            sweep_at=until,
            tries=models.F("tries") + 1,
        )

    def claimed(self, claim: str) -> "SmsMessageQuerySet":
        """What ``claim`` took and has not settled."""
        return self.filter(claim=claim, status=MessageStatus.SENDING)

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
        """Messages in a status whose time for the sweep has come, the longest overdue first."""
        return self.filter(status=status, sweep_at__lte=now).order_by("sweep_at")


class SmsMessage(models.Model):
    """One text to one number.

    The wording and the variables are frozen with it. Sensitive variables are encrypted, and wiped once the
    outcome is known. ``due_at`` is the earliest next try (empty: at once); ``sweep_at`` is when the sweep looks
    after a message that has not moved on (empty: it has nothing more to do). ``account`` is the provider's account of
    the last try: another one knows nothing of it.
    """

    service = models.ForeignKey(SmsService, models.PROTECT, related_name="messages", verbose_name=_("service"))
    template = models.ForeignKey(
        SmsTemplate, models.SET_NULL, null=True, blank=True, related_name="messages", verbose_name=_("template")
    )
    purpose = models.CharField(_("purpose"), max_length=20, choices=Purpose.choices)
    phone_number = models.CharField(_("phone number"), max_length=16, db_index=True, help_text="E.164")
    text = models.TextField(_("text"), blank=True, help_text=_("The wording, with its placeholders."))
    template_code = models.CharField(_("template code"), max_length=64, blank=True)
    template_kind = models.CharField(_("registered as"), max_length=16, choices=TemplateKind.choices, blank=True)
    params = models.JSONField(_("variables"), default=dict, blank=True)
    sensitive_params = EncryptedTextField(_("sensitive variables"), blank=True, default="")

    status = models.CharField(_("status"), max_length=12, choices=MessageStatus.choices, default=MessageStatus.QUEUED)
    skip_reason = models.CharField(_("why skipped"), max_length=12, choices=SkipReason.choices, blank=True)
    error_kind = models.CharField(_("kind of error"), max_length=12, choices=ErrorKind.choices, blank=True)
    provider_code = models.CharField(_("provider's code"), max_length=64, blank=True)
    provider_detail = models.CharField(_("provider's words"), max_length=255, blank=True)
    provider_request_id = models.CharField(_("request id"), max_length=64, blank=True)
    provider_message_id = models.CharField(_("provider's message id"), max_length=64, blank=True, db_index=True)
    segments = models.PositiveSmallIntegerField(_("segments"), null=True, blank=True)
    tries = models.PositiveSmallIntegerField(_("tries"), default=0)
    claim = models.CharField(max_length=32, blank=True, editable=False)
    account = models.CharField(_("account"), max_length=128, blank=True)

    created_at = models.DateTimeField(_("created"), default=timezone.now)
    due_at = models.DateTimeField(_("not before"), null=True, blank=True)
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
        ]

    def __str__(self) -> str:
        return f"{mask(self.phone_number)} ({self.status})"

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

    def __str__(self) -> str:
        return f"{self.outcome} {self.provider_code}".strip()
