"""The fields by which recipients and variables are chosen."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django import forms
from django.contrib.admin.widgets import AutocompleteSelect, AutocompleteSelectMultiple
from django.core.exceptions import FieldDoesNotExist
from django.db.models import F
from django.forms.utils import ErrorDict
from django.utils.functional import Promise
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from sms_services.exceptions import InvalidParams
from sms_services.params import checked_params

from ..conf import get_settings
from ..models import NotificationPreset
from ..variables import field_at
from .finding import KINDS

#: The button of this name shows the form again, with the fields that follow from what was chosen.
REFRESH = "_refresh"
#: What is looked for without a script, followed by the name of the field.
FIND = "find_"
#: How many are offered to those whose browser runs no script.
MOST_FOUND = 50

LABELS: Mapping[str, Any] = {"users": _("Users"), "departments": _("Departments"), "roles": _("Roles")}

#: Where the value of a variable comes from: these, or the name of a field after ``FIELD``.
TEXT, CALLER, FIELD = "text", "caller", "field:"


class Refreshable(forms.BaseForm):
    """A form that works without scripts.

    Sent by a button named ``REFRESH`` it is neither checked nor saved, but shown again, with what follows from what was
    chosen, and with what was looked for.
    """

    @property
    def is_refreshed(self) -> bool:
        return self.is_bound and REFRESH in self.data

    def full_clean(self) -> None:
        if self.is_refreshed:
            self._errors = ErrorDict()
            self.cleaned_data: dict[str, Any] = {}
        else:
            super().full_clean()

    def is_valid(self) -> bool:
        return super().is_valid() and not self.is_refreshed

    def find(self) -> None:
        """Look for what was asked for below each field."""
        for name, field in self.fields.items():
            if isinstance(field.widget, _Finds):
                field.widget.find(str(self.data.get(f"{FIND}{name}", "")))


class _Finds:
    """A select that is searched while one types. Without a script, it has a search of its own."""

    url_name = "%s:notifications_find"
    found: Sequence[Any] = ()
    term = ""
    #: Names by primary key, where those that are chosen in many fields are read together; others are looked up.
    named: Mapping[str, str] = {}

    def __init__(self, kind: str, admin_site: Any, *args: Any, **kwargs: Any) -> None:
        self.kind = kind
        super().__init__(NotificationPreset._meta.get_field(kind), admin_site, *args, **kwargs)  # type: ignore[call-arg]

    @property
    def media(self) -> forms.Media:
        media: forms.Media = super().media  # type: ignore[misc]
        # Behind the scripts that it needs.
        scripts = ("admin/js/jquery.init.js", "admin/js/autocomplete.js", "notifications/find.js")
        return media + forms.Media(js=scripts)

    def find(self, term: str) -> None:
        """Offer what matches, for browsers without scripts."""
        self.term = term.strip()[:100].replace("\x00", "")
        self.found = list(KINDS[self.kind].matching(self.term)[:MOST_FOUND]) if self.term else ()

    def optgroups(self, name: str, value: Iterable[Any], attrs: Any = None) -> list[Any]:
        kind = KINDS[self.kind]
        chosen = list(value)
        named = {pk: self.named[pk] for pk in chosen if pk in self.named}
        others = list(kind.chosen(pk for pk in chosen if pk not in named))
        selected = {*named, *(str(each.pk) for each in others)}
        found = [each for each in self.found if str(each.pk) not in selected]
        offered = [*named.items(), *kind.labels([*others, *found])]
        options: list[Any] = []
        if not self.allow_multiple_selected and not self.is_required:  # type: ignore[attr-defined]
            options.append(self.create_option(name, "", "", False, 0))  # type: ignore[attr-defined]
        for pk, label in offered:
            option = self.create_option(name, pk, label, pk in selected, len(options))  # type: ignore[attr-defined]
            options.append(option)
        return [(None, options, 0)]

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context(name, value, attrs)  # type: ignore[misc]
        context["widget"] |= {
            "kind": self.kind,
            "find": f"{FIND}{name}",
            "term": self.term,
            "found": len(self.found),
            "is_full": len(self.found) == MOST_FOUND,
            "refresh": REFRESH,
        }
        return context


class FindOne(_Finds, AutocompleteSelect):
    """One of a kind."""

    template_name = "admin/notifications/widgets/find.html"


class FindMany(_Finds, AutocompleteSelectMultiple):
    """Some of a kind."""

    template_name = "admin/notifications/widgets/find.html"


class FoundOneField(forms.ModelChoiceField):
    def __init__(self, kind: str, admin_site: Any, **kwargs: Any) -> None:
        super().__init__(queryset=KINDS[kind].everything(), widget=FindOne(kind, admin_site), **kwargs)


class FoundManyField(forms.ModelMultipleChoiceField):
    def __init__(self, kind: str, admin_site: Any, **kwargs: Any) -> None:
        kwargs = {"required": False, "label": LABELS[kind], **kwargs}
        super().__init__(queryset=KINDS[kind].everything(), widget=FindMany(kind, admin_site), **kwargs)


class VariablesWidget(forms.Widget):
    """For each of a template's variables: where its value comes from, and the text if it is one."""

    template_name = "admin/notifications/widgets/variables.html"
    names: Sequence[str] = ()
    sources: Sequence[tuple[str, Any]] = ()
    has_template = False

    def value_from_datadict(self, data: Any, files: Any, name: str) -> dict[str, tuple[str, str]]:
        return {
            each: (data.get(f"{name}-{each}-source", self.default), data.get(f"{name}-{each}-text", ""))
            for each in self.names
        }

    @property
    def default(self) -> str:
        """Where a value comes from unless somebody chooses."""
        return self.sources[0][0] if self.sources else TEXT

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        return False

    def id_for_label(self, id_: str) -> str:
        return ""

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        context = super().get_context(name, value, attrs)
        given = value or {}
        context["widget"] |= {
            "rows": [(each, *given.get(each, (self.default, ""))) for each in self.names],
            "sources": self.sources,
            "has_template": self.has_template,
            "names": ",".join(self.names),
            "refresh": REFRESH,
        }
        return context


class VariablesField(forms.Field):
    """The variables of a template: strings and ``F`` objects by name."""

    widget = VariablesWidget

    def __init__(self, *, may_be_left: bool = False, **kwargs: Any) -> None:
        self.may_be_left = may_be_left
        super().__init__(required=False, label=_("Variables"), **kwargs)

    def follow(self, names: Sequence[str], *, has_template: bool) -> None:
        """Ask for the variables of the template that was chosen."""
        left = [(CALLER, _("Whoever sends it says it"))] if self.may_be_left else []
        fields = [
            (f"{FIELD}{path}", gettext("Each recipient’s: %(field)s") % {"field": field_label(path)})
            for path in get_settings().RECIPIENT_FIELDS
        ]
        self.names = names
        self.widget.names = names
        self.widget.sources = [*left, (TEXT, _("This text:")), *fields]
        self.widget.has_template = has_template

    @property
    def offered(self) -> set[str]:
        """Where a value may come from."""
        return {source for source, _label in self.widget.sources}

    def clean(self, value: Any) -> dict[str, str | F]:
        chosen: dict[str, str | F] = {}
        errors: list[Any] = []
        allowed = self.offered
        for name in self.names:
            source, text = value.get(name, (TEXT, ""))
            if source not in allowed:
                errors.append(gettext("%(name)s: choose where it comes from.") % {"name": name})
            elif source.startswith(FIELD):
                chosen[name] = F(source.removeprefix(FIELD))
            elif source == TEXT and not text.strip():
                errors.append(gettext("%(name)s: enter what the text says in its place.") % {"name": name})
            elif source == TEXT:
                chosen[name] = text.replace("\r\n", "\n")
        try:
            checked_params({name: text for name, text in chosen.items() if isinstance(text, str)})
        except InvalidParams as error:
            errors.append(str(error))
        if errors:
            raise forms.ValidationError(errors)
        return chosen

    def has_changed(self, initial: Any, data: Any) -> bool:
        default = (self.widget.default, "")
        before, after = initial or {}, data or {}
        return any(_meaning(before.get(name, default)) != _meaning(after.get(name, default)) for name in self.names)


def shown_variables(literals: Mapping[str, str], fields: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Stored variables as ``VariablesWidget`` shows them."""
    return {
        **{name: (TEXT, text) for name, text in literals.items()},
        **{name: (f"{FIELD}{path}", "") for name, path in fields.items()},
    }


def _meaning(value: tuple[str, str]) -> tuple[str, str]:
    """Without a text that is not used."""
    source, text = value
    return source, text if source == TEXT else ""


def field_label(path: str) -> str | Promise:
    """What a lookup path on the user model is called: as it is itself, if nothing with a name is there."""
    try:
        return capfirst(field_at(path).verbose_name)
    except (FieldDoesNotExist, AttributeError):  # a relation from the other side has no name
        return path
