"""What the rows of many-to-many tables say of themselves, on Django's page before a deletion."""

from collections.abc import Callable
from typing import Any

from django.db import models


def name_links(model: type[models.Model], *names: str, label: Callable[[Any], str] | None = None) -> None:
    """Let the rows of these many-to-many fields of a model say what they link.

    Args:
        label: what a row calls the model's side; default: by its name.
    """
    for name in names:
        field: Any = model._meta.get_field(name)
        field.remote_field.through.__str__ = _words_for(field, label)


def _words_for(field: Any, label: Callable[[Any], str] | None) -> Callable[[Any], str]:
    def words(row: Any) -> str:
        # The field knows the columns only once both models are loaded.
        ours, theirs = field.m2m_field_name(), field.m2m_reverse_field_name()
        return f"{label(row) if label else getattr(row, ours)} – {getattr(row, theirs)}"

    return words
