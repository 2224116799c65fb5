"""Telling the old number that it is not the account's any more: whoever did not do that hears of it."""

import logging

from django.utils.translation import gettext

from sms_services.api import queue_message
from sms_services.choices import Purpose as TextPurpose
from sms_services.exceptions import SmsError
from sms_services.logs import log
from sms_services.models import SmsTemplate

from ..models import MobileLogin


def send_notice(login: MobileLogin, number: str) -> None:
    """Queue the notice. That it cannot be sent undoes nothing; the log says so."""
    template = login.notice_template or _our_own()
    try:
        queue_message(login.sms_service, number, template)
    except SmsError as error:
        log(logging.ERROR, "login.notice_not_sent", login=login.key, error=type(error).__name__)


def _our_own() -> SmsTemplate:
    text = gettext("This phone number is no longer the one of your account. If this was not you, contact us at once.")
    return SmsTemplate(purpose=TextPurpose.NOTIFICATION, text=text)
