"""The variables of a notification: the same for everybody, or looked up on each recipient."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist
from django.db.models import F, Model

from sms_services.encryption import encrypt
from sms_services.fields import EncryptedTextField
from sms_services.params import checked_params, sensitive_names

from .choices import NotificationProblem
from .conf import get_settings
from .exceptions import InvalidVariables, Unresolvable
from .models import Notification

#: Parts of names of what nobody is to be texted by mistake.
_SECRET = ("password", "passwd", "secret", "token", "api_key", "private")


@dataclass(frozen=True)
class Variables:
    """Literals by name, and fields of the recipient's user by name; no name is in both."""

    literals: Mapping[str, str] = field(default_factory=dict, repr=False)
    fields: Mapping[str, str] = field(default_factory=dict)

    def __iter__(self) -> Iterator[str]:
        yield from self.literals
        yield from self.fields

    def overridden_by(self, other: "Variables") -> "Variables":
        """Both together; where both have a name, the other's."""
        names = set(other)
        kept = [
            {name: value for name, value in part.items() if name not in names} for part in (self.literals, self.fields)
        ]
        return Variables({**kept[0], **other.literals}, {**kept[1], **other.fields})

    def only(self, names: Sequence[str]) -> "Variables":
        """Those that a template has."""
        return Variables(
            {name: value for name, value in self.literals.items() if name in names},
            {name: path for name, path in self.fields.items() if name in names},
        )

    def sample(self) -> dict[str, str]:
        """All of them, a letter in the place of what is looked up."""
        return {**dict.fromkeys(self.fields, "A"), **self.literals}


def checked_variables(given: Mapping[str, Any] | None) -> Variables:
    """What a call gives.

    Raises:
        InvalidVariables: an ``F()`` that is not allowed, or another expression.
        InvalidParams: no mapping of strings, or a value too long for any text.
    """
    if not isinstance(given, Mapping):
        return Variables(checked_params(given))
    looked_up = {name: value for name, value in given.items() if isinstance(name, str) and _is_expression(value)}
    literals = checked_params({name: value for name, value in given.items() if name not in looked_up})
    return Variables(literals, {name: _allowed_field(name, value) for name, value in looked_up.items()})


def _is_expression(value: Any) -> bool:
    return hasattr(value, "resolve_expression")


def _allowed_field(name: str, expression: Any) -> str:
    path = str(getattr(expression, "name", ""))
    if type(expression) is not F:
        raise InvalidVariables(
            f"The variable {name!r} is an expression ({type(expression).__name__}). Only F() with the name of a field "
            "can be looked up on recipients."
        )
    allowed = get_settings().RECIPIENT_FIELDS
    if path not in allowed:
        raise InvalidVariables(
            f"The variable {name!r} is looked up on {path!r}, which NOTIFICATIONS['RECIPIENT_FIELDS'] does "
            f"not allow. It allows: {', '.join(allowed) or 'nothing'}."
        )
    if problem := problem_with_path(path):
        raise InvalidVariables(f"The variable {name!r} cannot be looked up: {problem}")
    return path


def problem_with_path(path: str) -> str | None:
    """Why a lookup path on the user model cannot give each user one text; ``None`` if it can."""
    model: type[Model] = get_user_model()
    steps = path.split("__")
    for number, step in enumerate(steps, start=1):
        try:
            found: Any = model._meta.pk if step == "pk" else model._meta.get_field(step)
        except FieldDoesNotExist:
            return f"{model.__name__} has no field {step!r} (in {path!r})."
        if found.many_to_many or found.one_to_many:
            return f"{path!r} leads to many values by way of {step!r}."
        if number < len(steps):
            if not found.is_relation:
                return f"{step!r} (in {path!r}) is no relation."
            model = found.related_model
        elif found.is_relation:
            return f"{path!r} ends at a relation, not at a field."
        elif isinstance(found, EncryptedTextField) or any(part in step.lower() for part in _SECRET):
            return f"{path!r} is a secret."
    return None


def field_at(path: str) -> Any:
    """The field at the end of a lookup path on the user model.

    Raises:
        FieldDoesNotExist: there is none.
    """
    model: Any = get_user_model()
    found: Any = None
    for step in path.split("__"):
        found = model._meta.pk if step == "pk" else model._meta.get_field(step)
        model = getattr(found, "related_model", None) or model
    return found


class FrozenVariables:
    """The variables of a notification as they go into its messages: what is common once, the rest per recipient.

    Sensitive ones are encrypted: once if they are the same for everybody.
    """

    def __init__(self, notification: Notification) -> None:
        fields = {} if notification.retry_of_id else notification.recipient_fields
        self.paths = list(fields.values())
        names = list(fields)
        secret = json.loads(notification.sensitive_variables.reveal()) if notification.sensitive_variables else {}
        hidden = sensitive_names(notification.purpose, names) | set(secret)
        self.hidden_names = sorted(hidden)
        self.common: dict[str, str] = dict(notification.variables)
        self.common_token = encrypt(json.dumps(secret)) if secret and not hidden.intersection(names) else ""
        #: Whether recipients have values of their own; a retry's are all in the old messages.
        self.has_own = bool(names) or notification.retry_of_id is not None
        self._secret = secret
        self._open = [(name, index) for index, name in enumerate(names) if name not in hidden]
        self._hidden = [(name, index) for index, name in enumerate(names) if name in hidden]

    def check(self) -> None:
        """Raise ``Unresolvable`` unless all fields can still be looked up: much may change until a schedule is due."""
        allowed = get_settings().RECIPIENT_FIELDS
        if any(path not in allowed or problem_with_path(path) for path in self.paths):
            raise Unresolvable(NotificationProblem.RECIPIENT_FIELDS, InvalidVariables)

    def own(self, values: Sequence[Any]) -> tuple[str, str]:
        """A recipient's own variables as JSON, and the token of the sensitive ones; empty where there are none.

        Args:
            values: what ``paths`` hold for the recipient's user.
        """
        params = {name: _text(values[index]) for name, index in self._open}
        token = self.common_token
        if self._hidden:
            token = encrypt(json.dumps({**self._secret, **{name: _text(values[i]) for name, i in self._hidden}}))
        return json.dumps(params) if self.has_own else "", token


def frozen(notification: Notification, variables: Variables) -> None:
    """Put the variables into an unsaved notification, the sensitive ones apart."""
    hidden = sensitive_names(notification.purpose, variables.literals)
    notification.variables = {name: value for name, value in variables.literals.items() if name not in hidden}
    secret = {name: value for name, value in variables.literals.items() if name in hidden}
    notification.sensitive_variables = json.dumps(secret) if secret else ""
    notification.recipient_fields = dict(variables.fields)


def _text(value: Any) -> str:
    """As it is read. No database but SQLite stores a NUL, and no text can have one."""
    return "" if value is None else str(value).replace("\x00", "")
