"""Whoever changes a service or a template hears what cannot be sent by it any more. Other apps know that."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from django.contrib import messages
from django.db import DatabaseError, router, transaction
from django.http import HttpRequest

from ..models import SmsService, SmsTemplate
from ..signals import setup_changed


def warn_of_uses(
    request: HttpRequest, *, services: Sequence[SmsService] = (), templates: Sequence[SmsTemplate] = ()
) -> None:
    answers: list[tuple[Any, Any]] = []
    # A receiver's failed statement must not undo what has been saved.
    with suppress(DatabaseError), transaction.atomic(using=router.db_for_write(SmsService)):
        answers = setup_changed.send_robust(None, services=services, templates=templates)
    for _receiver, problems in answers:
        if not isinstance(problems, Exception):
            for problem in problems or ():
                messages.warning(request, problem)
