"""What the shop texts to its customers."""

import secrets

from django.db import transaction

from shop.models import Order
from sms_services.api import queue_message, send_message
from sms_services.choices import MessageStatus


class NotReachable(Exception):
    """The customer should enter another number, or try later."""


def send_login_code(phone_number: str) -> str:
    """Text a fresh code to a customer, who waits for it; returns it for the session."""
    code = f"{secrets.randbelow(10**6):06}"
    (message,) = send_message("shop", phone_number, "login-code", {"code": code})
    if message.status == MessageStatus.FAILED:
        raise NotReachable(message.error_kind)
    return code


@transaction.atomic
def ship(order: Order) -> None:
    """Mark an order as shipped, and text its customer once that is certain."""
    order.shipped = True
    order.save()
    queue_message("shop", order.phone_number, "shipped", {"parcel": order.parcel})
    if not order.parcel.startswith("P-"):
        raise ValueError("The carrier does not know this parcel.")
