"""Noticing that the last message of a notification has left; the sweep would find it some seconds later."""

from collections.abc import Collection
from typing import Any

from django.dispatch import receiver

from sms_services.signals import batches_delivered

from .bell import ring_for
from .expansion.ending import done
from .rows import notifications


@receiver(batches_delivered, dispatch_uid="notifications.ring_for_done")
def ring_for_done(batches: Collection[int], **kwargs: Any) -> None:
    """Have a worker of the notifications' queue end those that are done."""
    ring_for(list(done(notifications().filter(batch__in=batches)).values_list("pk", flat=True)))
