"""The closed vocabularies of this app: what a message is for, where it stands, what went wrong."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Purpose(models.TextChoices):
    """What a text is for. One-time codes go first; marketing needs consent in most countries."""

    OTP = "otp", _("One-time code")
    APPROVAL = "approval", _("Approval")
    CC = "cc", _("Approval copy (CC)")
    NOTIFICATION = "notification", _("Notification")
    MARKETING = "marketing", _("Marketing")


class MessageStatus(models.TextChoices):
    """Where a message stands. ``SmsMessage.TRANSITIONS`` lists every step that exists."""

    QUEUED = "queued", _("Queued")
    SENDING = "sending", _("Sending")
    SENT = "sent", _("Sent")
    DELIVERED = "delivered", _("Delivered")
    UNDELIVERED = "undelivered", _("Undelivered")
    FAILED = "failed", _("Failed")
    UNKNOWN = "unknown", _("Unknown")
    SKIPPED = "skipped", _("Skipped")


class Outcome(models.TextChoices):
    """What became of one try. It decides the message's status; the error kind only explains it."""

    ACCEPTED = "accepted", _("Accepted")
    REFUSED = "refused", _("Refused")
    NOT_SENT = "not_sent", _("Certainly not sent")
    UNCERTAIN = "uncertain", _("Uncertain")


class ErrorKind(models.TextChoices):
    """What was wrong, in words that hold for every provider."""

    RECIPIENT = "recipient", _("Recipient")
    TEMPLATE = "template", _("Template")
    CREDENTIALS = "credentials", _("Credentials")
    QUOTA = "quota", _("Quota")
    THROTTLED = "throttled", _("Throttled")
    TRANSIENT = "transient", _("Transient")
    UNKNOWN = "unknown", _("Unknown")


class SkipReason(models.TextChoices):
    """Why a message was never tried."""

    NO_NUMBER = "no_number", _("No phone number")
    UNREADABLE = "unreadable", _("Unreadable phone number")
    INACTIVE = "inactive", _("Inactive user")
    SUPPRESSED = "suppressed", _("Suppressed")
    EXPIRED = "expired", _("Expired")
    CANCELLED = "cancelled", _("Cancelled")
    DUPLICATE = "duplicate", _("Duplicate")


class BatchState(models.TextChoices):
    """Whether the messages of a batch may leave."""

    OPEN = "open", _("Open")
    HELD = "held", _("Held")
    CLOSED = "closed", _("Closed")


class TemplateStatus(models.TextChoices):
    """What a platform says of a template that is registered there. Blank: it was never asked."""

    APPROVED = "approved", _("Approved")
    PENDING = "pending", _("Under review")
    REJECTED = "rejected", _("Rejected")
    CANCELLED = "cancelled", _("Review cancelled")
    GONE = "gone", _("No longer there")


class TemplateKind(models.TextChoices):
    """As what a template is registered on a platform. All but international ones are for mainland China only."""

    OTP = "otp", _("One-time code")
    NOTIFICATION = "notification", _("Notification")
    MARKETING = "marketing", _("Marketing")
    INTERNATIONAL = "international", _("International")
