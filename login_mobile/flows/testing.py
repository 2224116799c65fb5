"""A test code from admin: the same text, for nothing."""

from django.views.decorators.debug import sensitive_variables

from sms_services.api import queue_message
from sms_services.models import SmsMessage

from ..keys import new_code
from ..models import MobileLogin
from ..numbers import parse_number


@sensitive_variables("params")
def send_test_code(login: MobileLogin, phone: object, *, region: object = None) -> SmsMessage:
    """Queue a text with a random code that opens nothing. For admins with the permission ``send_test_mobilelogin``.

    It goes out even where the login is switched off, so that it can be tried first. Nothing is counted.

    Raises:
        Refusal: ``invalid_phone``, ``not_mobile``, ``region_not_allowed``.
        SmsError: the service or the template cannot be used; the message says what to do.
    """
    number = parse_number(phone, login, region)
    params = {"code": new_code(login.code_length), "minutes": str(login.code_minutes)}
    names = set(login.template.variable_names) or {"code"}
    return queue_message(
        login.sms_service,
        number.e164,
        login.template,
        {name: value for name, value in params.items() if name in names},
    )[0]
