"""Keys that an admin leaves empty: no script can make one of a Chinese name."""

from itertools import count
from typing import Any

from django import forms
from django.db import models
from django.utils.translation import gettext_lazy as _

from ..keys import folded, key_of, key_of_name

_LONGEST_STEM = 44  # leaves room for a number in the 50 characters of a key


class MakesKeys(forms.ModelForm):
    """On an add page, the key may stay empty."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "key" in self.fields and not self.instance.pk:
            field = self.fields["key"]
            field.required = False
            left_empty = _("Left empty, it is made of the name, or of the kind and a number.")
            field.help_text = f"{field.help_text} {left_empty}"

    def kind(self) -> str:
        """A word for a key when the name has no letters for one: that of the model, unless a form knows better."""
        return str(self._meta.model._meta.model_name)

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        if self.cleaned_data.get("key") == "" and not self.instance.pk:
            self.cleaned_data["key"] = free_key(self._meta.model, self.cleaned_data.get("name", ""), self.kind())
        return cleaned


def free_key(model: type[models.Model], name: str, kind: str) -> str:
    """A key that no row has: of the name (``front-desk``, ``front-desk-2``), else of the kind (``twilio-1``)."""
    named = key_of_name(name)[:_LONGEST_STEM].strip("-")
    stem = named or key_of(kind)
    keyed: Any = model._meta.get_field("key").model  # the base of a service's kind
    taken = {folded(key) for key in keyed._base_manager.values_list("key", flat=True)}
    numbered = (f"{stem}-{number}" for number in count(2 if named else 1))
    return stem if named and stem not in taken else next(key for key in numbered if key not in taken)
