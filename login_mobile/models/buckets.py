"""Where limits are counted."""

from django.db import models


class Bucket(models.Model):
    """What was counted for one subject of one limit lately.

    ``key`` is a keyed hash of both: nobody reads a number or an address here. ``entries`` are the counted events,
    ``{"end": count}``: ``end`` is the latest moment, in milliseconds since 1970, at which they can have happened.
    ``revision`` is there to be changed first, which locks the row on every database. See ``login_mobile.buckets``.
    """

    key = models.CharField(max_length=64, primary_key=True)
    kind = models.CharField(max_length=20)
    entries = models.JSONField(default=dict)
    revision = models.PositiveBigIntegerField(default=0)
    idle_at = models.FloatField(default=0.0, db_index=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.kind} {self.key[:8]}"
