"""Deleting what is of no use any more, a few rows at a time."""

import time
from datetime import timedelta

from django.utils import timezone

from . import buckets
from .conf import get_settings
from .rows import challenges

BATCH = 1_000


def purge() -> int:
    """Delete challenges older than ``RETENTION_DAYS`` and buckets that count nothing; returns how many rows."""
    before = timezone.now() - timedelta(days=get_settings().RETENTION_DAYS)
    deleted, now = 0, time.time()
    while some := buckets.purge(now, BATCH):
        deleted += some
    while pks := list(
        challenges().filter(created_at__lt=before).order_by("created_at").values_list("pk", flat=True)[:BATCH]
    ):
        deleted += challenges().filter(pk__in=pks).delete()[0]
    return deleted
