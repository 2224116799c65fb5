"""What goes with a row that is deleted, for the page that asks first: listed, or counted where it may be thousands."""

from collections import Counter
from collections.abc import Collection
from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.admin.utils import NestedObjects
from django.db import models, router
from django.http import HttpRequest
from django.utils.text import capfirst


class _Counting(NestedObjects):
    """Lists all that goes with a row, but for rows of these models, which are not even read."""

    def __init__(self, *args: Any, counted: Collection[type[models.Model]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.counts = Counter[type[models.Model]]()
        self._counted = counted

    def related_objects(self, related_model: Any, related_fields: Any, objs: Any) -> Any:
        found = super().related_objects(related_model, related_fields, objs)
        if related_model not in self._counted:
            return found
        self.counts[related_model] += found.count()
        return found.none()


def deleted_with_counts(
    objs: Any, request: HttpRequest, admin_site: AdminSite, *, counted: Collection[type[models.Model]]
) -> tuple[list[Any], dict[Any, int], set[Any], list[str]]:
    """What ``ModelAdmin.get_deleted_objects`` returns. Permissions are asked for what is counted too.

    Args:
        counted: models whose rows are not listed. Nothing else may refer to them.
    """
    if not objs:
        return [], {}, set(), []
    collector = _Counting(using=router.db_for_write(objs[0].__class__), origin=objs, counted=counted)
    collector.collect(objs)
    counts = +collector.counts
    lacking = {model._meta.verbose_name for model in counts if not _may_delete(admin_site, request, model)}

    def named(obj: Any) -> str:
        if not _may_delete(admin_site, request, obj.__class__, obj):
            lacking.add(obj._meta.verbose_name)
        return f"{capfirst(obj._meta.verbose_name)}: {obj}"

    listed = collector.nested(named)
    protected = [named(obj) for obj in collector.protected]
    numbers: dict[Any, int] = {model: len(rows) for model, rows in collector.model_objs.items()}
    numbers |= counts
    return listed, {model._meta.verbose_name_plural: number for model, number in numbers.items()}, lacking, protected


def _may_delete(admin_site: AdminSite, request: HttpRequest, model: Any, obj: Any = None) -> bool:
    if not admin_site.is_registered(model):
        return True
    return bool(admin_site.get_model_admin(model).has_delete_permission(request, obj))
