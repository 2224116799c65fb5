"""A model field whose column holds a Fernet token and whose attribute is a ``Secret``."""

from typing import TYPE_CHECKING, Any, cast

from django import forms
from django.db import models
from django.db.models.query_utils import DeferredAttribute
from django.utils.translation import gettext_lazy as _

from .encryption import Secret
from .exceptions import EncryptionKeyError

#: Marks a token in fixtures, so that loading one does not encrypt it again.
_SERIALIZED = "fernet:"


if TYPE_CHECKING:
    _TextField = models.TextField[Secret | str, Any]
else:
    _TextField = models.TextField


class SecretAttribute(DeferredAttribute):
    """Turns plain text into a ``Secret`` the moment that it is assigned."""

    def __set__(self, instance: models.Model, value: Any) -> None:
        instance.__dict__[self.field.attname] = cast("EncryptedTextField", self.field).seal(value)


class SecretWidget(forms.PasswordInput):
    """Never renders the stored value; says whether there is one."""

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        attrs = {"autocomplete": "new-password", "class": "vTextField", **(attrs or {})}
        if isinstance(value, Secret):
            attrs["placeholder"] = str(_("Stored. Leave blank to keep it."))
        return super().get_context(name, None, attrs)


class SecretFormField(forms.CharField):
    """Blank keeps what is stored; the cleaned value is a ``Secret`` or the empty string."""

    widget = SecretWidget

    def clean(self, value: Any) -> Any:
        plaintext = super().clean(value)
        try:
            return Secret.of(plaintext) if plaintext else ""
        except EncryptionKeyError as error:
            raise forms.ValidationError(str(error), code="encryption_keys") from None

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(data)


class EncryptedTextField(_TextField):
    """A text that is encrypted at rest and masked wherever it is printed.

    Assign a plain ``str`` or a ``Secret``; read a ``Secret``, whose ``reveal()`` gives the plain text. Empty
    stays empty. It cannot be searched. The field keeps no state of its own between calls.
    """

    descriptor_class = SecretAttribute

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> Secret | str | None:
        return Secret(value) if value else value

    def to_python(self, value: Any) -> Any:
        """Of a fixture's value too, which holds the token."""
        if isinstance(value, str) and value.startswith(_SERIALIZED):
            return Secret(value.removeprefix(_SERIALIZED))
        return self.seal(value)

    def seal(self, value: Any) -> Any:
        """Encrypt a plain text; a ``Secret`` and what is empty stay as they are."""
        if not value or isinstance(value, Secret):
            return value
        if isinstance(value, str):
            return Secret.of(value)
        raise TypeError(f"A secret is a string, not {type(value).__name__}.")

    def get_prep_value(self, value: Any) -> Any:
        value = self.seal(value)
        return value.token if isinstance(value, Secret) else value

    def value_to_string(self, obj: models.Model) -> str:
        value = self.value_from_object(obj)
        return f"{_SERIALIZED}{value.token}" if isinstance(value, Secret) else str(value or "")

    def save_form_data(self, instance: models.Model, data: Any) -> None:
        if data:
            super().save_form_data(instance, data)

    def get_lookup(self, lookup_name: str) -> Any:
        return super().get_lookup(lookup_name) if lookup_name == "isnull" else None

    def formfield(self, **kwargs: Any) -> Any:
        return super().formfield(**{"form_class": SecretFormField, **kwargs, "widget": SecretWidget})
