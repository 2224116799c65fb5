"""Where a notification stands."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class NotificationStatus(models.TextChoices):
    """What is happening to a notification. How far it is, its counts tell."""

    SCHEDULED = "scheduled", _("Scheduled")
    RUNNING = "running", _("Running")
    PAUSED = "paused", _("Paused")
    CANCELLED = "cancelled", _("Cancelled")
    FINISHED = "finished", _("Finished")


#: Somebody has stopped these: nothing of them leaves, nor is anything of them retried.
STOPPED = (NotificationStatus.PAUSED, NotificationStatus.CANCELLED)


class NotificationProblem(models.TextChoices):
    """Why the recipients of a notification cannot be resolved for now. Each label is for those who run it."""

    PHONE_NUMBER = (
        "phone_number",
        _("The users’ phone numbers cannot be read. Check PHONE_NUMBER in the setting NOTIFICATIONS."),
    )
    RECIPIENT_FIELDS = (
        "recipient_fields",
        _(
            "A variable is looked up on a field that does not exist or is not allowed any more. Check RECIPIENT_FIELDS "
            "in the setting NOTIFICATIONS."
        ),
    )
    ENCRYPTION_KEY = (
        "encryption_key",
        _("The variables were encrypted with a key that is not configured. Check ENCRYPTION_KEYS in SMS_SERVICES."),
    )
    UNEXPECTED = "unexpected", _("An error stops it. The log of the workers names it: notifications.unresolvable.")
