"""Telling the old number that it is not the account's any more: whoever did not do that hears of it."""

import logging

from django.db.models import Q
from django.utils.translation import gettext
from django.views.decorators.debug import sensitive_variables

from sms_services.api import queue_message
from sms_services.choices import Purpose as TextPurpose
from sms_services.exceptions import SmsError
from sms_services.logs import log
from sms_services.models import SmsTemplate, current_service

from ..models import MobileLogin
from ..rows import database


@sensitive_variables()
def send_notice(login: MobileLogin | None, number: str) -> bool:
    """Queue the notice; returns whether it is. That it cannot be sent undoes nothing; the log says so.

    It goes through whichever configuration can send it: this one, the default one, even if it is switched off, or
    another one that is in use. Else whoever takes an account over would choose one that cannot. What an admin has
    switched off gets no numbers.
    """
    for config in _ways(login):
        try:
            queue_message(config.sms_service, number, config.notice_template or _our_own())
        except SmsError as error:
            log(logging.ERROR, "login.notice_not_sent", login=config.key, error=type(error).__name__)
        else:
            return True
    return False


def can_send_notice(login: MobileLogin | None = None) -> bool:
    """Whether a notice could leave now, as far as it is known here: for those who promise one."""
    return any(map(_can_send, _ways(login)))


def _ways(login: MobileLogin | None) -> list[MobileLogin]:
    rows = MobileLogin.objects.using(database()).select_related("sms_service", "notice_template")
    ways = list(rows.filter(Q(is_active=True) | Q(is_default=True)).order_by("-is_default", "pk"))
    ways.sort(key=lambda config: login is None or config.pk != login.pk)
    return ways


def _can_send(config: MobileLogin) -> bool:
    service = current_service(config.sms_service_id)
    template = config.notice_template or _our_own()
    if service is None or not service.is_active or template.variable_names:
        return False
    return template.problem_with(service) is None


def _our_own() -> SmsTemplate:
    text = gettext("This phone number is no longer the one of your account. If this was not you, contact us at once.")
    return SmsTemplate(purpose=TextPurpose.NOTIFICATION, text=text)
