"""Keeping the figures of a notification that has ended, for when its messages are purged."""

from collections.abc import Collection
from typing import Any

from django.dispatch import receiver

from sms_services.models import SmsMessage
from sms_services.signals import batches_outdated

from .models import Notification
from .rows import notifications


def freeze_figures(notification: Notification) -> None:
    """From now on its figures stand by themselves: no receipt changes them any more, nor does the purge of messages.

    Whoever is first decides: who comes later may have counted what the purge had left.
    """
    unfrozen = notifications().filter(pk=notification.pk, final_counts__isnull=True)
    if notification.final_counts is None:
        unfrozen.update(final_counts=notification.counts(), final_segments=notification.segments())
    notifications().filter(pk=notification.pk).update(sweep_at=None)


@receiver(batches_outdated, sender=SmsMessage, dispatch_uid="notifications.freeze_outdated")
def freeze_outdated(batches: Collection[int], **kwargs: Any) -> list[int]:
    """Freeze the figures of those that have ended; returns the batches of those that have not: they stay whole.

    A number of one that has not ended gets one message, which is known by the messages that it has.
    """
    concerned = notifications().filter(batch__in=batches)
    # Asked for first, and once: one that ends meanwhile keeps its messages until the next purge.
    kept = list(concerned.filter(finished_at=None).values_list("batch", flat=True))
    for notification in concerned.exclude(batch__in=kept).filter(final_counts__isnull=True):
        freeze_figures(notification)
    return kept
