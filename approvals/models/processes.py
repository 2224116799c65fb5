"""Processes as an admin configures them: a row of nodes, each with the rules that say who."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from notifications.directory import has_roles
from notifications.models import Department
from sms_services.models import SmsService, SmsTemplate

from ..choices import (
    CommentPolicy,
    InitiatorPolicy,
    NobodyPolicy,
    NodeKind,
    NodeMode,
    RepeatPolicy,
    RuleSource,
    WithdrawPolicy,
)
from ..sms import check_choice

_ONE_MINUTE = MinValueValidator(timedelta(minutes=1))


class Process(models.Model):
    """What requests of one kind go through. Running requests keep the process as it was at their submission."""

    key = models.SlugField(_("key"), max_length=50, unique=True, help_text=_("The name that code uses for it."))
    title = models.CharField(_("title"), max_length=100, help_text=_("Texts say it as ${processTitle}."))
    description = models.TextField(_("description"), blank=True, help_text=_("Shown to those who begin a request."))
    is_active = models.BooleanField(
        _("active"), default=True, help_text=_("An inactive process takes no new requests. Running ones go on.")
    )
    has_start_page = models.BooleanField(
        _("start page"),
        default=True,
        help_text=_("People who can log in may begin a request with a title and a reason. Off: only code submits."),
    )
    start_role = models.ForeignKey(
        Group,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("role that may begin requests"),
        help_text=_(
            "On the start page, only those who have this role, and superusers. Empty: everybody who can log in."
        ),
    )
    withdraw_policy = models.CharField(
        _("withdrawal"),
        max_length=24,
        choices=WithdrawPolicy.choices,
        default=WithdrawPolicy.WHILE_RUNNING,
        help_text=_("Until when the initiator can take a request back."),
    )
    remind_interval = models.DurationField(
        _("time between reminders"),
        default=timedelta(hours=1),
        validators=[MinValueValidator(timedelta(0))],
        help_text=_("The initiator can remind approvers at most once in this time (hours:minutes:seconds)."),
    )

    class Meta:
        verbose_name = _("process")
        verbose_name_plural = _("processes")
        ordering = ("title", "pk")

    def __str__(self) -> str:
        return self.title or self.key

    def clean(self) -> None:
        super().clean()
        if self.start_role_id and not has_roles():
            words = _("Users of this project have no roles: only superusers could begin a request. Leave it empty.")
            raise ValidationError({"start_role": words})


class Node(models.Model):
    """One step of a process: an approval, or a copy (CC). Nodes with the same position follow in order of creation."""

    process = models.ForeignKey(Process, models.CASCADE, related_name="nodes", verbose_name=_("process"))
    key = models.SlugField(_("key"), max_length=50, help_text=_("The name that code and signals use for it."))
    position = models.PositiveSmallIntegerField(_("position"), default=0)
    title = models.CharField(_("title"), max_length=100)
    kind = models.CharField(_("kind"), max_length=10, choices=NodeKind.choices, default=NodeKind.APPROVAL)
    mode = models.CharField(_("needed approvals"), max_length=12, choices=NodeMode.choices, default=NodeMode.ANY)
    condition = models.CharField(
        _("condition"),
        max_length=100,
        blank=True,
        help_text=_(
            "Where this function says no, the step is skipped. "
            "The project registers such with @predicate in approval_rules."
        ),
    )

    nobody_found = models.CharField(
        _("if nobody is found"), max_length=10, choices=NobodyPolicy.choices, default=NobodyPolicy.PAUSE
    )
    initiator_policy = models.CharField(
        _("if the initiator is an approver"),
        max_length=10,
        choices=InitiatorPolicy.choices,
        default=InitiatorPolicy.ASK,
    )
    repeat_policy = models.CharField(
        _("if somebody has approved earlier in this round"),
        max_length=10,
        choices=RepeatPolicy.choices,
        default=RepeatPolicy.ASK,
    )
    may_return = models.BooleanField(_("can be returned"), default=True)
    may_transfer = models.BooleanField(_("can be transferred"), default=True)
    approve_comment = models.CharField(
        _("comment to an approval"), max_length=10, choices=CommentPolicy.choices, default=CommentPolicy.OPTIONAL
    )
    reject_comment = models.CharField(
        _("comment to a rejection"), max_length=10, choices=CommentPolicy.choices, default=CommentPolicy.OPTIONAL
    )
    return_comment = models.CharField(
        _("comment to a return"), max_length=10, choices=CommentPolicy.choices, default=CommentPolicy.OPTIONAL
    )
    transfer_comment = models.CharField(
        _("comment to a transfer"), max_length=10, choices=CommentPolicy.choices, default=CommentPolicy.OPTIONAL
    )

    remind_after = models.DurationField(
        _("remind after"),
        null=True,
        blank=True,
        validators=[_ONE_MINUTE],
        help_text=_("Approvers who have not acted by then are reminded, once. Days and hours:minutes:seconds."),
    )
    escalate_after = models.DurationField(
        _("escalate after"),
        null=True,
        blank=True,
        validators=[_ONE_MINUTE],
        help_text=_("What nobody has acted on by then is transferred, once."),
    )
    escalate_to = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("escalate to"),
    )
    escalate_resolver = models.CharField(
        _("or to whom a function finds"),
        max_length=100,
        blank=True,
        help_text=_(
            "Such as the head of the approver's department. "
            "The project registers others with @resolver in approval_rules."
        ),
    )

    sms_service = models.ForeignKey(
        SmsService,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("SMS service"),
        help_text=_("Approvers or CC recipients get a text through it. Empty: no texts."),
    )
    sms_template = models.ForeignKey(
        SmsTemplate, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("SMS template")
    )

    class Meta:
        verbose_name = _("step")
        verbose_name_plural = _("steps")
        ordering = ("position", "pk")
        constraints = [
            models.UniqueConstraint(fields=["process", "key"], name="approval_one_node_per_process_and_key"),
            models.CheckConstraint(condition=Q(kind__in=NodeKind.values), name="approval_node_kind_known"),
            models.CheckConstraint(condition=Q(mode__in=NodeMode.values), name="approval_node_mode_known"),
            models.CheckConstraint(
                condition=Q(sms_service=None, sms_template=None)
                | Q(sms_service__isnull=False, sms_template__isnull=False),
                name="approval_node_sms_both_or_neither",
                violation_error_message=_("Choose both an SMS service and an SMS template, or neither."),
            ),
        ]

    def __str__(self) -> str:
        return self.title or self.key

    def clean(self) -> None:
        super().clean()
        check_choice(self.sms_service, self.sms_template)
        if self.escalate_after and bool(self.escalate_to_id) == bool(self.escalate_resolver):
            raise ValidationError({"escalate_to": _("Say to whom: choose either a user or a function.")})
        if not self.escalate_after and (self.escalate_to_id or self.escalate_resolver):
            raise ValidationError({"escalate_after": _("Say after which time.")})


#: The field that a source needs, where it needs one.
SOURCE_FIELDS = {
    RuleSource.USER: "user",
    RuleSource.DEPARTMENT: "department",
    RuleSource.DEPARTMENT_HEAD: "department",
    RuleSource.ROLE: "group",
    RuleSource.SUBJECT_FIELD: "subject_field",
    RuleSource.RESOLVER: "resolver",
}


class Rule(models.Model):
    """Who a node is for, one part of it. The order of rules is the order of approvers where one follows the other.

    Whoever is named in a rule cannot be deleted: a node must not lose an approver without anybody noticing.
    """

    node = models.ForeignKey(Node, models.CASCADE, related_name="rules", verbose_name=_("step"))
    position = models.PositiveSmallIntegerField(_("position"), default=0)
    source = models.CharField(_("who"), max_length=16, choices=RuleSource.choices, default=RuleSource.USER)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("user")
    )
    department = models.ForeignKey(
        Department, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("department")
    )
    include_subdepartments = models.BooleanField(_("with sub-departments"), default=True)
    group = models.ForeignKey(Group, models.PROTECT, null=True, blank=True, related_name="+", verbose_name=_("role"))
    subject_field = models.CharField(
        _("field of the subject"),
        max_length=100,
        blank=True,
        help_text=_("Its name, or a path such as project.manager; it holds a user, or several."),
    )
    resolver = models.CharField(
        _("function of the project"),
        max_length=100,
        blank=True,
        help_text=_("It finds the people. The project registers such with @resolver in approval_rules."),
    )

    class Meta:
        verbose_name = _("rule")
        verbose_name_plural = _("rules")
        ordering = ("position", "pk")
        constraints = [
            models.CheckConstraint(condition=Q(source__in=RuleSource.values), name="approval_rule_source_known"),
            models.CheckConstraint(
                condition=(~Q(source=RuleSource.USER) | Q(user__isnull=False))
                & (~Q(source__in=(RuleSource.DEPARTMENT, RuleSource.DEPARTMENT_HEAD)) | Q(department__isnull=False))
                & (~Q(source=RuleSource.ROLE) | Q(group__isnull=False))
                & (~Q(source=RuleSource.SUBJECT_FIELD) | ~Q(subject_field=""))
                & (~Q(source=RuleSource.RESOLVER) | ~Q(resolver="")),
                name="approval_rule_names_whom",
                violation_error_message=_("Say who: fill in the field that belongs to this choice."),
            ),
        ]

    def __str__(self) -> str:
        named: Any = getattr(self, SOURCE_FIELDS.get(RuleSource(self.source), ""), "") if self.source else ""
        return f"{self.get_source_display()}: {named}" if named else str(self.get_source_display())

    def clean(self) -> None:
        super().clean()
        field = SOURCE_FIELDS.get(RuleSource(self.source)) if self.source in RuleSource.values else None
        if field and not getattr(self, f"{field}_id" if field in {"user", "department", "group"} else field):
            raise ValidationError({field: _("This field is needed for “%s”.") % self.get_source_display()})
