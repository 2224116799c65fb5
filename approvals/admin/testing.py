"""A node's text, sent as a test to a number of the admin's choice: as it is stored, or as a form has it chosen."""

from dataclasses import dataclass
from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext_lazy as _

from sms_services.admin.sent_tests import outcome_url, sent_test
from sms_services.advice import advice_for
from sms_services.api import send_message
from sms_services.error_pages import private_post
from sms_services.exceptions import InvalidPhoneNumber, SmsError
from sms_services.models import SandboxSms, SmsMessage, SmsService, SmsTemplate
from sms_services.phone_numbers import normalize

from ..conf import get_settings
from ..models import Node, Process
from ..sms import check_choice
from .choosing import offered_templates, row_of

#: What the form of a step has chosen, in the address of the page.
_SERVICE, _TEMPLATE = "service", "template"


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


def test_url(process: Process, node: Node | None, service: SmsService | None, template: SmsTemplate | None) -> str:
    """The page that tests what the form of a step has chosen; empty where that is not both."""
    if service is None or template is None:
        return ""
    if node is None:
        page = reverse("admin:approvals_node_test_new", args=[process.pk])
    else:
        page = reverse("admin:approvals_node_test", args=[node.pk])
    return f"{page}?{_query(service, template)}"


@dataclass(frozen=True)
class _Tested:
    """What is tested. A step that is being added has no ``node`` yet; ``query`` has what was chosen in a form."""

    process: Process
    node: Node | None
    service: SmsService
    template: SmsTemplate
    query: str

    @property
    def problem(self) -> str | None:
        """Why nothing can be sent, in words for a person."""
        try:
            check_choice(self.service, self.template)
        except ValidationError as error:
            return " ".join(error.messages)
        return self.template.problem_with(self.service)


class SendsTests:
    """For the nodes' admin."""

    @property
    def test_url_view(self) -> Any:
        view = self.admin_site.admin_view(self.test_view)  # type: ignore[attr-defined]
        return transaction.non_atomic_requests(view)

    @private_post()
    def test_view(self, request: HttpRequest, pk: int | None = None, process_pk: int | None = None) -> HttpResponse:
        """A form for one text of a step, or of one that is being added, and the outcome of the last one."""
        if not may_send_test(request):
            raise PermissionDenied
        tested = self._tested(request, pk, process_pk)
        form = NodeTestForm(request.POST if request.method == "POST" else None, initial=_initial(request, tested))
        if request.method == "POST" and form.is_valid() and (message := _send(tested, form)):
            words = str(_("Test sent as message %d.") % message.pk)
            self.log_change(request, tested.node or tested.process, words)  # type: ignore[attr-defined]
            return HttpResponseRedirect("&".join(filter(None, [outcome_url(request, message), tested.query])))
        sent = sent_test(request, tested.service.pk)
        context = {
            **self.admin_site.each_context(request),  # type: ignore[attr-defined]
            "title": _("Send test SMS"),
            "subtitle": str(tested.node or tested.process),
            "opts": Node._meta,
            "tested": tested,
            "form": form,
            "sent": sent,
            "may_open": request.user.has_perm("sms_services.view_smsmessage"),
            "advice": advice_for(sent) if sent else "",
            "is_sandbox": isinstance(tested.service, SandboxSms),
        }
        request.current_app = self.admin_site.name  # type: ignore[attr-defined]
        return TemplateResponse(request, "admin/approvals/node/send_test.html", context)

    def _tested(self: Any, request: HttpRequest, pk: int | None, process_pk: int | None) -> _Tested:
        """Whoever may look at a step may test what is stored; what its form offers, whoever may choose it there."""
        if pk is None:
            node, process = None, get_object_or_404(Process, pk=process_pk)
            is_chosen, is_allowed = True, self.has_add_permission(request)
        else:
            node = get_object_or_404(Node.objects.select_related("process", "sms_template"), pk=pk)
            process = node.process
            is_chosen = _SERVICE in request.GET or _TEMPLATE in request.GET
            may = self.has_change_permission if is_chosen else self.has_view_or_change_permission
            is_allowed = may(request, node)
        if not is_allowed:
            raise PermissionDenied
        if node is None or is_chosen:
            service = row_of(SmsService.objects.all(), request.GET.get(_SERVICE))
            template = row_of(offered_templates(), request.GET.get(_TEMPLATE))
        else:
            service, template = node.sms_service, node.sms_template
        if service is None or template is None:
            raise Http404
        return _Tested(process, node, service, template, _query(service, template) if is_chosen else "")


def _query(service: SmsService, template: SmsTemplate) -> str:
    return urlencode({_SERVICE: service.pk, _TEMPLATE: template.pk})


def _initial(request: HttpRequest, tested: _Tested) -> dict[str, str]:
    return {"processTitle": tested.process.title, "userNick": str(get_settings().function("USER_NICK")(request.user))}


def _send(tested: _Tested, form: NodeTestForm) -> SmsMessage | None:
    if tested.problem:
        form.add_error(None, tested.problem)
        return None
    try:
        return send_message(tested.service, form.cleaned_data["phone_number"], tested.template, form.params)[0]
    except SmsError as error:
        form.add_error(None, str(error))
        return None
