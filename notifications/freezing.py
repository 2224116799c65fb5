"""Keeping the figures of a notification that has ended, for when its messages are purged."""

from collections.abc import Collection
from typing import Any

from django.db.models import Q
from django.dispatch import receiver

from sms_services.delivery.bulk_update import update_rows
from sms_services.models import SmsMessage
from sms_services.signals import batches_outdated

from .models import Notification
from .models.notifications import NotificationQuerySet
from .rows import database, notifications


def freeze_figures(ended: NotificationQuerySet) -> None:
    """From now on their figures stand by themselves: no receipt changes them any more, nor does the purge of messages.

    Whoever is first decides: who comes later may have counted what the purge had left. However many they are, it takes
    as many queries.
    """
    unfrozen = Q(final_counts__isnull=True)
    counts = ended.filter(unfrozen).counts()
    segments = notifications().filter(pk__in=counts).segments()
    rows = [(pk, counts[pk], segments.get(pk, 0)) for pk in counts]
    update_rows(Notification, ["final_counts", "final_segments"], rows, using=database(), condition=unfrozen)
    ended.filter(sweep_at__isnull=False).update(sweep_at=None)


@receiver(batches_outdated, sender=SmsMessage, dispatch_uid="notifications.freeze_outdated")
def freeze_outdated(batches: Collection[int], **kwargs: Any) -> list[int]:
    """Freeze the figures of those that have ended; returns the batches of those that have not: they stay whole.

    A number of one that has not ended gets one message, which is known by the messages that it has.
    """
    concerned = notifications().filter(batch__in=batches)
    # Asked for first, and once: one that ends meanwhile keeps its messages until the next purge.
    kept = list(concerned.filter(finished_at=None).values_list("batch", flat=True))
    freeze_figures(concerned.exclude(batch__in=kept))
    return kept
