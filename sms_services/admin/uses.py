"""Whoever changes a service or a template hears what cannot be sent by it any more. Other apps know that."""

from collections.abc import Sequence

from django.contrib import messages
from django.http import HttpRequest

from ..models import SmsService, SmsTemplate
from ..signals import setup_changed


def warn_of_uses(
    request: HttpRequest, *, services: Sequence[SmsService] = (), templates: Sequence[SmsTemplate] = ()
) -> None:
    for _receiver, problems in setup_changed.send_robust(None, services=services, templates=templates):
        if not isinstance(problems, Exception):
            for problem in problems or ():
                messages.warning(request, problem)
