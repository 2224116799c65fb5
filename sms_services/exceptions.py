"""What this app raises. Every message says what to do; none holds a full phone number, text or secret."""


class SmsError(Exception):
    """Base of everything that this app raises on wrong use or wrong configuration."""


class NoRecipients(SmsError):
    """No phone number was given."""


class InvalidPhoneNumber(SmsError):
    """A phone number cannot be read, or is no number that can receive texts."""


class UnknownService(SmsError):
    """No SMS service has this key."""


class InactiveService(SmsError):
    """The SMS service is deactivated."""


class UnusableService(SmsError):
    """The platform does not approve of the service's signature."""


class UnknownTemplate(SmsError):
    """No template has this key or code."""


class UnusableTemplate(SmsError):
    """The template lacks what this service needs (its code, or a text), or the platform does not approve of it."""


class InvalidParams(SmsError):
    """A variable is missing, unknown, of the wrong type, or too long."""


class InvalidExpiry(SmsError):
    """``expires_at`` is no datetime with a time zone."""


class OpenTransaction(SmsError):
    """``send_message`` was called inside a transaction, whose rollback would forget a sent text."""


class EncryptionKeyError(SmsError):
    """The encryption keys are missing, malformed, or not the ones that a stored secret needs."""


class MissingSDK(SmsError):
    """The provider's SDK is not installed; the message names the extra that installs it."""


class InvalidConfiguration(SmsError):
    """The provider's SDK refuses the service's configuration."""


class LookUpFailed(SmsError):
    """The provider could not be asked what became of a message."""


class ListingFailed(SmsError):
    """The provider did not say which templates it knows; the message holds its code and advice."""


class OutdatedComparison(SmsError):
    """What was to be imported is no longer what was shown. Nothing was written."""


class NotRetryable(SmsError):
    """The message neither failed nor is it in doubt, so there is nothing to retry."""


class InDoubt(NotRetryable):
    """The message may have been sent: retrying it could send it twice."""


class VariablesWiped(NotRetryable):
    """The message had sensitive variables, which are not kept: it cannot be sent again as it was."""


class RetryRefused(NotRetryable):
    """The message's batch may not send any more, or an app objects; the message says why."""


class AlreadyRetried(NotRetryable):
    """The message has a retry; ``retry_id`` is its primary key."""

    def __init__(self, message: str, retry_id: int) -> None:
        super().__init__(message)
        self.retry_id = retry_id
