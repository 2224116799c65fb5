"""Where the rows of messages are: the database that is written to, for reading too. A replica may lag behind."""

from collections.abc import Sequence

from django.db import router

from ..models import SmsMessage
from ..models.messages import SmsMessageQuerySet


def database() -> str:
    """The alias of the database that messages are written to."""
    return router.db_for_write(SmsMessage)


def messages() -> SmsMessageQuerySet:
    """All messages, read where they are written."""
    return SmsMessage.objects.using(database())


def insert(messages: Sequence[SmsMessage]) -> None:
    """Store new messages."""
    if len(messages) == 1:
        messages[0].save(force_insert=True, using=database())
    else:
        SmsMessage.objects.using(database()).bulk_create(messages, batch_size=1000)
