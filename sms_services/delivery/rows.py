"""Where the rows of messages are: the database that is written to, for reading too. A replica may lag behind."""

from django.db import router

from ..models import SmsMessage
from ..models.messages import SmsMessageQuerySet


def database() -> str:
    """The alias of the database that messages are written to."""
    return router.db_for_write(SmsMessage)


def messages() -> SmsMessageQuerySet:
    """All messages, read where they are written."""
    return SmsMessage.objects.using(database())
