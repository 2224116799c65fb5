"""Those who begin requests by hand."""

from django.conf import settings
from django.db import models
from django.utils import timezone


class Starter(models.Model):
    """Somebody's row to lock while they begin a request by hand, so that each form counts those before it.

    The user's own will not do: MariaDB locks it too, in part, for whatever is written that points at it, so that two
    people who approve each other's requests would wait for each other.
    """

    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, primary_key=True, related_name="+")
    began_at = models.DateTimeField(default=timezone.now)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return str(self.user)
