"""What Amazon SNS's error codes mean, and what an admin can do about each.

Sources: "Publish", "GetSMSAttributes" and "Common Error Types" of the Amazon SNS API reference, and the service
model that botocore ships (the codes below are those on the wire: ``InvalidParameterValueException`` is
``ParameterValueInvalid`` there). Codes of topics, subscriptions and KMS do not occur when texting a number.

The kind ``credentials`` stands for all that is wrong with the service rather than with the message: another service
might take it. Three faults have no code at all, because SNS accepts the text and drops it: a number that opted out,
an exhausted monthly spending limit, and an account in the SMS sandbox that texts an unverified number.
"""

from collections.abc import Mapping

from django.utils.translation import gettext_lazy as _

from ..choices import ErrorKind
from .base import ProviderError

_WRONG_KEY = ProviderError(
    ErrorKind.CREDENTIALS,
    _("AWS does not know the access key. Enter a key that is active in the IAM console, without spaces."),
)
_WRONG_SECRET = ProviderError(
    ErrorKind.CREDENTIALS,
    _(
        "The secret key does not belong to the access key. Enter both again, exactly as the IAM console showed them. "
        "If they are right, check this server's clock and the region."
    ),
)
_NOT_ALLOWED = ProviderError(
    ErrorKind.CREDENTIALS,
    _("The key is valid but may not do this. Allow “sns:Publish” on all resources in the IAM policy of its user."),
)
_EXPIRED_KEY = ProviderError(
    ErrorKind.CREDENTIALS,
    _("The key was temporary and has expired. Enter a permanent key of an IAM user."),
)
_WRONG_CLOCK = ProviderError(
    ErrorKind.CREDENTIALS,
    _("The request was too old when it arrived. Set this server's clock, best by NTP."),
)
_THROTTLED = ProviderError(
    ErrorKind.THROTTLED,
    _(
        "The account sends faster than AWS allows (by default 20 texts a second). Lower “messages per second” of the "
        "service, or ask AWS for a higher quota."
    ),
    retry=True,
)
_INVALID = ProviderError(
    ErrorKind.RECIPIENT,
    _(
        "SNS does not take the number or the text. Check that the number exists and that the text is neither empty "
        "nor longer than 1,600 bytes. If SNS takes no number at all, its region cannot send texts: choose another."
    ),
    single=True,
)
_UNAVAILABLE = ProviderError(
    ErrorKind.TRANSIENT,
    _("SNS had an error of its own, and the text may have gone out. If it lasts, look at the AWS Health Dashboard."),
)
_MALFORMED = ProviderError(
    ErrorKind.UNKNOWN,
    _("SNS does not understand the request. Check that the endpoint URL is one of SNS, and update boto3."),
)
_DISABLED = ProviderError(
    ErrorKind.RECIPIENT,
    _("SNS has switched this recipient off. Enable the endpoint in the SNS console."),
    single=True,
)

#: Answers of SNS, by the code in their body.
SERVICE_ERRORS: Mapping[str, ProviderError] = {
    # The number or the text
    "InvalidParameter": _INVALID,
    "InvalidParameterValue": _INVALID,
    "ParameterValueInvalid": _INVALID,
    "ValidationError": _INVALID,
    "ValidationException": _INVALID,
    "UserError": _INVALID,
    "OptedOut": ProviderError(
        ErrorKind.RECIPIENT,
        _(
            "This number opted out of the account's texts. Only its owner can change that; once every 30 days it can "
            "be opted in again in the SNS console, with the owner's consent."
        ),
        single=True,
    ),
    "EndpointDisabled": _DISABLED,
    "PlatformApplicationDisabled": _DISABLED,
    # The key and what it may do
    "InvalidClientTokenId": _WRONG_KEY,
    "UnrecognizedClientException": _WRONG_KEY,
    "InvalidAccessKeyId": _WRONG_KEY,
    "AuthFailure": _WRONG_KEY,
    "MissingAuthenticationToken": _WRONG_KEY,
    "MissingAuthenticationTokenException": _WRONG_KEY,
    "SignatureDoesNotMatch": _WRONG_SECRET,
    "InvalidSignatureException": _WRONG_SECRET,
    "IncompleteSignature": _WRONG_SECRET,
    "InvalidSecurity": _WRONG_SECRET,
    "AuthorizationError": _NOT_ALLOWED,
    "AccessDenied": _NOT_ALLOWED,
    "AccessDeniedException": _NOT_ALLOWED,
    "NotAuthorized": _NOT_ALLOWED,
    "UnauthorizedOperation": _NOT_ALLOWED,
    "ExpiredToken": _EXPIRED_KEY,
    "ExpiredTokenException": _EXPIRED_KEY,
    "RequestExpired": _WRONG_CLOCK,
    "RequestTimeTooSkewed": _WRONG_CLOCK,
    "OptInRequired": ProviderError(
        ErrorKind.CREDENTIALS,
        _("The account has not enabled SNS or this region. Finish signing up, or enable it, in the AWS console."),
    ),
    # Too fast
    "Throttled": _THROTTLED,
    "ThrottledException": _THROTTLED,
    "Throttling": _THROTTLED,
    "ThrottlingException": _THROTTLED,
    "RequestThrottled": _THROTTLED,
    "RequestThrottledException": _THROTTLED,
    "RequestLimitExceeded": _THROTTLED,
    "TooManyRequestsException": _THROTTLED,
    "SlowDown": _THROTTLED,
    # SNS itself, or something that is not SNS
    "InternalError": _UNAVAILABLE,
    "InternalFailure": _UNAVAILABLE,
    "ServiceUnavailable": _UNAVAILABLE,
    "NotFound": _MALFORMED,
    "InvalidAction": _MALFORMED,
    "UnknownOperationException": _MALFORMED,
    "MissingParameter": _MALFORMED,
    "InvalidParameterCombination": _MALFORMED,
    "MalformedQueryString": _MALFORMED,
}

#: What kept SNS from answering, by the name of botocore's exception.
CONNECTION_ERRORS: Mapping[str, ProviderError] = {
    "EndpointConnectionError": ProviderError(
        ErrorKind.TRANSIENT,
        _("No connection to SNS. Check that the region is the right one, and this server's network, DNS and firewall."),
        retry=True,
    ),
    "ConnectTimeoutError": ProviderError(
        ErrorKind.TRANSIENT,
        _("SNS did not answer the connection in time. Check this server's network, firewall and proxy."),
        retry=True,
    ),
    "ProxyConnectionError": ProviderError(
        ErrorKind.TRANSIENT,
        _("The HTTP proxy of this server failed. Check HTTPS_PROXY and NO_PROXY in its environment."),
        retry=True,
    ),
    "SSLError": ProviderError(
        ErrorKind.TRANSIENT,
        _("The connection to SNS is not trusted. Check this server's clock and certificates, and any proxy between."),
        retry=True,
    ),
}

ERRORS: Mapping[str, ProviderError] = {**SERVICE_ERRORS, **CONNECTION_ERRORS}
