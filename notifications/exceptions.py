"""What this app raises on wrong use, before anything is stored. No message holds a number, a name or a text."""

from sms_services.exceptions import EncryptionKeyError, SmsError

from .choices import NotificationProblem


class NotificationError(SmsError):
    """Base of everything that this app raises itself; ``SmsError`` also covers what ``sms_services`` raises."""


class UnknownPreset(NotificationError):
    """No preset has this key."""


class IncompleteNotification(NotificationError):
    """Neither the call nor a preset says which service or which template."""


class InvalidArgument(NotificationError):
    """An argument that is no recipient, variable or time is of the wrong kind."""


class InvalidRecipients(NotificationError):
    """Something among the recipients is of the wrong kind, or does not exist."""


class NoRecipients(NotificationError):
    """No recipients were given, or those that were given are nobody."""


class InvalidVariables(NotificationError):
    """A variable is looked up on a field that does not exist, or that ``RECIPIENT_FIELDS`` does not allow."""


class InvalidTime(NotificationError):
    """``send_at`` or ``expires_at`` is no moment, or is too late or too early."""


class InvalidIdempotencyKey(NotificationError):
    """The idempotency key is no usable string."""


class IdempotencyConflict(NotificationError):
    """There is a notification with this idempotency key, made with other arguments. ``notification_id`` is its id."""

    def __init__(self, message: str, notification_id: int) -> None:
        super().__init__(message)
        self.notification_id = notification_id


class Unresolvable(NotificationError):
    """The recipients of a notification cannot be resolved for now: for the workers, who never let it out."""

    def __init__(self, problem: NotificationProblem, cause: type[BaseException]) -> None:
        super().__init__(str(problem))
        self.problem = problem
        self.cause = cause

    @classmethod
    def of(cls, error: Exception) -> "Unresolvable":
        """What any error stands for."""
        if isinstance(error, cls):
            return error
        lost_key = isinstance(error, EncryptionKeyError)
        return cls(NotificationProblem.ENCRYPTION_KEY if lost_key else NotificationProblem.UNEXPECTED, type(error))


class WrongStatus(NotificationError):
    """The notification is not in a status in which this can be done."""


class NothingToRetry(NotificationError):
    """No message of the notification failed and was not retried yet."""
