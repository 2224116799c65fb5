"""The forms of the pages."""

import uuid
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from .models import Request


class StartForm(forms.Form):
    """A request that somebody begins by hand. ``key`` is drawn with the form, against a second click."""

    title = forms.CharField(
        label=_("Title"),
        max_length=Request._meta.get_field("title").max_length,
        help_text=_("A few words by which others know what it is about."),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    reason = forms.CharField(
        label=pgettext_lazy("approvals", "Reason"),
        max_length=4000,
        required=False,
        widget=forms.Textarea(attrs={"rows": 6}),
    )
    key = forms.UUIDField(widget=forms.HiddenInput, initial=uuid.uuid4)


class ResubmitForm(forms.Form):
    """A request that was returned, with what may be changed before it goes on."""

    title = forms.CharField(label=_("Title"), max_length=Request._meta.get_field("title").max_length)
    reason = forms.CharField(
        label=pgettext_lazy("approvals", "Reason"),
        max_length=4000,
        required=False,
        widget=forms.Textarea(attrs={"rows": 5}),
    )
    comment = forms.CharField(
        label=_("What has changed"), max_length=4000, required=False, widget=forms.Textarea(attrs={"rows": 2})
    )

    def __init__(self, request: Request, data: Any = None) -> None:
        initial = {"title": request.title, "reason": request.data.get("reason", "")}
        super().__init__(data, initial=initial, auto_id="resubmit-%s", label_suffix="")
        if "reason" not in request.data:  # its data are the business of whatever submitted it
            del self.fields["reason"]

    def changes(self, request: Request) -> dict[str, Any]:
        """What ``resubmit`` gets."""
        cleaned = self.cleaned_data
        changes = {"title": cleaned["title"], "comment": cleaned["comment"]}
        if "reason" in cleaned:
            changes["data"] = {**request.data, "reason": cleaned["reason"]}
        return changes
