"""How long what is kept, as the setting ``RETENTION_DAYS`` says."""

from collections.abc import Mapping
from datetime import timedelta

from django.core.exceptions import ImproperlyConfigured

from .choices import Purpose
from .conf import get_settings

#: The sandbox's texts have no purpose.
SANDBOX = "sandbox"


def retention() -> Mapping[str, timedelta]:
    """What is deleted, and how old it is then: purposes, and ``sandbox``.

    Raises:
        ImproperlyConfigured: ``RETENTION_DAYS`` names something else, or something else than days.
    """
    known = [*Purpose.values, SANDBOX]
    kept = {}
    for name, days in get_settings().RETENTION_DAYS.items():
        if name not in known:
            raise ImproperlyConfigured(f"RETENTION_DAYS holds {name!r}. Known are: {', '.join(known)}.")
        if days is None:
            continue
        if not isinstance(days, int) or isinstance(days, bool) or days < 1:
            raise ImproperlyConfigured(f"RETENTION_DAYS[{name!r}] is a number of days, at least 1, or None: {days!r}.")
        kept[name] = timedelta(days=days)
    return kept
