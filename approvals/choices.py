"""The closed vocabularies of this app: what an admin chooses, and where a request, a step and a task stand."""

from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

# What an admin chooses


class WithdrawPolicy(models.TextChoices):
    """Until when the initiator can take a request back."""

    NEVER = "never", _("Never")
    UNTIL_FIRST_APPROVAL = "until_first_approval", _("Until the first approval")
    WHILE_RUNNING = "while_running", _("As long as it is running")


class NodeKind(models.TextChoices):
    APPROVAL = "approval", _("Approval")
    CC = "cc", _("Copy (CC)")


class NodeMode(models.TextChoices):
    """Whose approval a node needs."""

    ANY = "any", _("Any one")
    ALL = "all", _("All, at once")
    SEQUENTIAL = "sequential", _("All, one after the other")


class RuleSource(models.TextChoices):
    """Where people come from."""

    USER = "user", _("User")
    DEPARTMENT = "department", _("Members of a department")
    DEPARTMENT_HEAD = "department_head", _("Head of a department")
    ROLE = "role", _("Role")
    INITIATOR = "initiator", _("The initiator")
    SUBJECT_FIELD = "subject_field", _("Field of the subject")
    RESOLVER = "resolver", _("Function of the project")


class InitiatorPolicy(models.TextChoices):
    """What happens where the initiator is among a node's approvers."""

    ASK = "ask", _("Ask the initiator like anyone else")
    LEAVE_OUT = "leave_out", _("Leave the initiator out")
    HEAD = "head", _("Ask the head of the initiator's department instead")


class RepeatPolicy(models.TextChoices):
    """What happens where an approver has approved at an earlier node of the same round."""

    ASK = "ask", _("Ask again")
    PASS = "pass", _("Count the approval here too")


class NobodyPolicy(models.TextChoices):
    """What happens where a node finds no approver."""

    PAUSE = "pause", _("Pause until an administrator resumes the request")
    PASS = "pass", _("Go on to the next step")
    ADMINS = "admins", _("Ask the administrators of approvals")


class CommentPolicy(models.TextChoices):
    NONE = "none", _("No comment")
    OPTIONAL = "optional", _("Optional")
    REQUIRED = "required", _("Required")


# Where things stand


class RequestStatus(models.TextChoices):
    RUNNING = "running", pgettext_lazy("approvals", "Running")
    RETURNED = "returned", _("Returned to the initiator")
    APPROVED = "approved", pgettext_lazy("approvals", "Approved")
    REJECTED = "rejected", pgettext_lazy("approvals", "Rejected")
    WITHDRAWN = "withdrawn", _("Withdrawn")


class TaskStatus(models.TextChoices):
    """``waiting``: not their turn yet. ``cancelled``: not needed any more. ``copied``: told, with nothing to do."""

    WAITING = "waiting", _("Waiting")
    PENDING = "pending", _("Pending")
    APPROVED = "approved", pgettext_lazy("approvals", "Approved")
    REJECTED = "rejected", pgettext_lazy("approvals", "Rejected")
    RETURNED = "returned", _("Returned")
    TRANSFERRED = "transferred", _("Transferred")
    CANCELLED = "cancelled", _("Cancelled")
    COPIED = "copied", _("Copied")


class VisitStatus(models.TextChoices):
    """What became of a node when a request came to it. ``skipped``: its condition did not hold. ``passed``: nobody was
    found, and the node lets such requests pass. ``cancelled``: the request was withdrawn."""

    RUNNING = "running", pgettext_lazy("approvals", "Running")
    PAUSED = "paused", _("Paused")
    APPROVED = "approved", pgettext_lazy("approvals", "Approved")
    REJECTED = "rejected", pgettext_lazy("approvals", "Rejected")
    RETURNED = "returned", _("Returned")
    COPIED = "copied", _("Copied")
    SKIPPED = "skipped", _("Skipped")
    PASSED = "passed", _("Passed: nobody was found")
    CANCELLED = "cancelled", _("Cancelled")


class EventKind(models.TextChoices):
    """What the history records. Where nobody is named as the actor, the engine did it."""

    SUBMITTED = "submitted", _("Submitted")
    REACHED = "reached", _("Reached")
    COPIED = "copied", _("Copied")
    SKIPPED = "skipped", _("Skipped")
    PASSED = "passed", _("Passed: nobody was found")
    PAUSED = "paused", _("Paused")
    RESUMED = "resumed", _("Resumed")
    APPROVED = "approved", pgettext_lazy("approvals", "Approved")
    APPROVED_BEFORE = "approved_before", _("Approved earlier in this round")
    REJECTED = "rejected", pgettext_lazy("approvals", "Rejected")
    RETURNED = "returned", _("Returned")
    RESUBMITTED = "resubmitted", _("Submitted again")
    TRANSFERRED = "transferred", _("Transferred")
    WITHDRAWN = "withdrawn", _("Withdrawn")
    REMINDED = "reminded", _("Reminded")
    ESCALATED = "escalated", _("Escalated")
    NOT_ESCALATED = "not_escalated", _("Nobody to escalate to")
    LEFT = "left", _("Approver not available any more")
    FINISHED = "finished", pgettext_lazy("approvals", "Finished")


class Reason(models.TextChoices):
    """Why ``node_reached`` is sent."""

    REACHED = "reached", _("Reached")
    TRANSFERRED = "transferred", _("Transferred")
    REMINDER = "reminder", _("Reminder")
    ESCALATED = "escalated", _("Escalated")


class TextState(models.TextChoices):
    """What became of the texts about one event. How far each is, its notification tells."""

    WAITING = "waiting", pgettext_lazy("text", "Waiting")
    ORDERED = "ordered", _("Handed over")
    SKIPPED = "skipped", _("Skipped: all were done already")
    FAILED = "failed", pgettext_lazy("approvals", "Failed")


#: Tasks that can still be acted on, now or in their turn.
OPEN_TASKS = (TaskStatus.WAITING, TaskStatus.PENDING)
#: Requests that are over.
FINAL_REQUESTS = (RequestStatus.APPROVED, RequestStatus.REJECTED, RequestStatus.WITHDRAWN)
#: Visits that a request has not left yet.
OPEN_VISITS = (VisitStatus.RUNNING, VisitStatus.PAUSED)
#: What follows from what somebody did, without anybody doing it.
CONSEQUENCES = (
    EventKind.REACHED,
    EventKind.COPIED,
    EventKind.SKIPPED,
    EventKind.PASSED,
    EventKind.PAUSED,
    EventKind.APPROVED_BEFORE,
    EventKind.FINISHED,
)
