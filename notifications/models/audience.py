"""What a preset and a notification have in common: whom they are for."""

from django.conf import settings
from django.contrib.auth.models import Group
from django.db import models
from django.utils.translation import gettext_lazy as _

from .departments import Department


class Audience(models.Model):
    """Users, departments and roles, any mix."""

    users = models.ManyToManyField(settings.AUTH_USER_MODEL, blank=True, related_name="+", verbose_name=_("users"))
    departments = models.ManyToManyField(Department, blank=True, related_name="+", verbose_name=_("departments"))
    include_subdepartments = models.BooleanField(
        _("with sub-departments"), default=True, help_text=_("A department's sub-departments belong to it.")
    )
    roles = models.ManyToManyField(Group, blank=True, related_name="+", verbose_name=_("roles"))

    class Meta:
        abstract = True
