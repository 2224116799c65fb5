"""Warning whoever changes a service or a template of logins with which something is wrong then."""

from collections.abc import Sequence
from typing import Any

from django.db.models import Q
from django.dispatch import receiver
from django.utils.translation import gettext as _

from sms_services.models import SmsService, SmsTemplate
from sms_services.signals import setup_changed

from .models import MobileLogin
from .rows import database


@receiver(setup_changed, dispatch_uid="login_mobile.warn_of_logins")
def warn_of_logins(services: Sequence[SmsService], templates: Sequence[SmsTemplate], **kwargs: Any) -> list[str]:
    """What is wrong with the logins in use that send by these."""
    uses = Q(sms_service__in=services) | Q(template__in=templates) | Q(notice_template__in=templates)
    logins = MobileLogin.objects.using(database()).with_setup().filter(uses, is_active=True)
    return [
        _("Something is wrong with the mobile login “%(login)s” now. %(problem)s")
        % {"login": login, "problem": " ".join(problems)}
        for login in logins
        if (problems := login.problems())
    ]
