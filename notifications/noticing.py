"""Noticing that the last message of a notification has left; the sweep would find it some seconds later."""

from collections.abc import Collection
from datetime import timedelta
from typing import Any

from django.dispatch import receiver
from django.utils import timezone

from sms_services.signals import batches_delivered

from .bell import ring_for
from .expansion.ending import done
from .rows import notifications

#: Every delivery asks about those that began this long ago at most. Of others, nobody notices the seconds.
YOUNG = timedelta(minutes=1)


@receiver(batches_delivered, dispatch_uid="notifications.ring_for_done")
def ring_for_done(batches: Collection[int], **kwargs: Any) -> None:
    """Have a worker of the notifications' queue end those that are done, if they began not long ago."""
    young = notifications().filter(batch__in=batches, started_at__gte=timezone.now() - YOUNG)
    ring_for(list(done(young).values_list("pk", flat=True)))
