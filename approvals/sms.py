"""Which SMS service and template a node may have."""

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from sms_services.choices import Purpose
from sms_services.models import SmsService, SmsTemplate

#: What every text about a node gets: the title of the process, and the initiator's nickname.
VARIABLES = ("processTitle", "userNick")


def check_choice(service: SmsService | None, template: SmsTemplate | None) -> None:
    """Raise ``ValidationError``, by field, unless a node may have these two.

    Both or neither; the template takes exactly the variables of such texts; the service can send it: by a code that it
    has for that service, approved yet or not, or as a text.
    """
    if service is None and template is None:
        return
    if template is None:
        raise ValidationError({"sms_template": _("Choose an SMS template too, or no SMS service.")})
    if service is None:
        raise ValidationError({"sms_service": _("Choose an SMS service too, or no SMS template.")})
    if set(template.variable_names) != set(VARIABLES):
        raise ValidationError(
            {
                "sms_template": _("The template must take exactly %(needed)s. This one takes: %(found)s.")
                % {"needed": _spelled(VARIABLES), "found": _spelled(template.variable_names) or "-"}
            }
        )
    if template.purpose == Purpose.OTP:
        raise ValidationError({"sms_template": _("A template for one-time codes cannot be used here.")})
    if missing := template.missing_for(service):
        raise ValidationError({"sms_template": missing})


def _spelled(names: tuple[str, ...]) -> str:
    return ", ".join(f"${{{name}}}" for name in names)
