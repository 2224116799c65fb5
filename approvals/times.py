"""Points in time as people read them."""

from datetime import datetime, timedelta

from django.utils.formats import date_format
from django.utils.timezone import localtime


def minute(moment: datetime) -> str:
    """A moment from which on something is possible: to the minute, and not too early."""
    return date_format(localtime(whole_minute(moment)), "DATETIME_FORMAT")


def whole_minute(moment: datetime) -> datetime:
    """The moment itself, or the beginning of the next minute."""
    begun = moment.replace(second=0, microsecond=0)
    return begun if begun == moment else begun + timedelta(minutes=1)
