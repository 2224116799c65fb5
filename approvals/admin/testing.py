"""A node's text, sent as a test to a number of the admin's choice."""

from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.utils.translation import gettext_lazy as _

from sms_services.admin.sent_tests import outcome_url, sent_test
from sms_services.advice import advice_for
from sms_services.api import send_message
from sms_services.error_pages import private_post
from sms_services.exceptions import InvalidPhoneNumber, SmsError
from sms_services.models import SandboxSms, SmsMessage
from sms_services.phone_numbers import normalize

from ..conf import get_settings
from ..models import Node


class NodeTestForm(forms.Form):
    """A number, and what the text says in the place of its variables."""

    phone_number = forms.CharField(
        label=_("Phone number"),
        max_length=40,
        widget=forms.TextInput(attrs={"type": "tel", "autocomplete": "off", "class": "vTextField"}),
        help_text=_("In any notation, with country code: +1 206 555 0100."),
    )
    processTitle = forms.CharField(  # noqa: N815 - the names of the template's variables
        label="processTitle", max_length=200, widget=forms.TextInput(attrs={"class": "vTextField"})
    )
    userNick = forms.CharField(  # noqa: N815
        label="userNick", max_length=200, widget=forms.TextInput(attrs={"class": "vTextField"})
    )

    def clean_phone_number(self) -> str:
        try:
            return normalize(self.cleaned_data["phone_number"])
        except InvalidPhoneNumber as error:
            raise forms.ValidationError(str(error)) from None

    @property
    def params(self) -> dict[str, str]:
        return {name: self.cleaned_data[name] for name in ("processTitle", "userNick")}


def may_send_test(request: HttpRequest) -> bool:
    return request.user.has_perm("sms_services.send_test_smsservice")


class SendsTests:
    """For the nodes' admin."""

    @property
    def test_url_view(self) -> Any:
        view = self.admin_site.admin_view(self.test_view)  # type: ignore[attr-defined]
        return transaction.non_atomic_requests(view)

    @private_post()
    def test_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """A form for one text, and the outcome of the last one."""
        if not may_send_test(request):
            raise PermissionDenied
        node = get_object_or_404(Node.objects.select_related("process", "sms_template"), pk=pk)
        if not self.has_view_or_change_permission(request, node):  # type: ignore[attr-defined]
            raise PermissionDenied
        if node.sms_service is None:
            raise Http404
        form = NodeTestForm(request.POST if request.method == "POST" else None, initial=_initial(request, node))
        if request.method == "POST" and form.is_valid() and (message := _send(node, form)):
            return HttpResponseRedirect(outcome_url(request, message))
        sent = sent_test(request, node.sms_service_id)
        context = {
            **self.admin_site.each_context(request),  # type: ignore[attr-defined]
            "title": _("Send test SMS"),
            "subtitle": str(node),
            "opts": Node._meta,
            "process": node.process,
            "node": node,
            "form": form,
            "sent": sent,
            "may_open": request.user.has_perm("sms_services.view_smsmessage"),
            "advice": advice_for(sent) if sent else "",
            "is_sandbox": isinstance(node.sms_service, SandboxSms),
        }
        request.current_app = self.admin_site.name  # type: ignore[attr-defined]
        return TemplateResponse(request, "admin/approvals/node/send_test.html", context)


def _initial(request: HttpRequest, node: Node) -> dict[str, str]:
    return {"processTitle": node.process.title, "userNick": str(get_settings().function("USER_NICK")(request.user))}


def _send(node: Node, form: NodeTestForm) -> SmsMessage | None:
    if node.sms_service is None or node.sms_template is None:
        return None
    try:
        return send_message(node.sms_service, form.cleaned_data["phone_number"], node.sms_template, form.params)[0]
    except SmsError as error:
        form.add_error(None, str(error))
        return None
