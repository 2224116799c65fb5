"""What Alibaba Cloud's codes mean, and what an admin can do about them.

Sources: Alibaba Cloud SMS, "Domestic SMS API error codes" and "Delivery receipt error codes"; Alibaba Cloud
OpenAPI, "Common client error codes". Codes of calls that this project never makes (applying for signatures,
templates and short links) are left out.

Nothing is idempotent there, and ``isp.*`` codes come from somewhere inside the platform. So ``retry`` stands only
at codes with which the gateway turned a request away before the SMS service saw it, and at missing connections.
"""

from collections.abc import Mapping

from django.utils.translation import gettext_lazy as _

from ..choices import ErrorKind
from .base import ProviderError

CREDENTIALS, QUOTA, RECIPIENT = ErrorKind.CREDENTIALS, ErrorKind.QUOTA, ErrorKind.RECIPIENT
TEMPLATE, THROTTLED, TRANSIENT, UNKNOWN = (
    ErrorKind.TEMPLATE,
    ErrorKind.THROTTLED,
    ErrorKind.TRANSIENT,
    ErrorKind.UNKNOWN,
)

_SLOW_DOWN = _("Alibaba Cloud takes fewer requests than were sent. Lower “messages per second” of the service.")
_TOP_UP = _("Top up the Alibaba Cloud account, or buy a package for the recipient's region.")
_CHECK_KEY = _("Enter the AccessKey ID and secret anew, as the RAM console shows them, without spaces around them.")
_GRANT = _("Grant the RAM user of this AccessKey the policy AliyunDysmsFullAccess, then verify the credentials.")
_SET_CLOCK = _("Synchronise this server's clock (NTP): it may differ from Alibaba Cloud's by 15 minutes at most.")
_ACTIVATE = _("Activate the Short Message Service in the console of the account that this AccessKey belongs to.")
_OUR_REQUEST = _("Alibaba Cloud did not understand the request. Update the SDK; if it stays, report it as a bug.")
_EXTEND_CODE = _("In the console's extension code management, give every signature an extension code of its own.")
_ASK_SUPPORT = _("Open a ticket at Alibaba Cloud and name the request ID of this message.")
_PHONE_UNREACHABLE = _("The phone was off, out of reach or out of service. Check the number, or try again later.")

#: Refusals at the gateway, before the SMS service saw the request.
GATEWAY_ERRORS: Mapping[str, ProviderError] = {
    "InvalidAccessKeyId": ProviderError(CREDENTIALS, _CHECK_KEY),
    "InvalidAccessKeyId.NotFound": ProviderError(
        CREDENTIALS, _("This AccessKey ID does not exist (any more). Create one in the RAM console and enter it.")
    ),
    "InvalidAccessKeyId.Inactive": ProviderError(
        CREDENTIALS, _("This AccessKey is disabled. Enable it in the RAM console, or enter another one.")
    ),
    "MissingAccessKeyId": ProviderError(CREDENTIALS, _CHECK_KEY),
    "InvalidCredentials": ProviderError(CREDENTIALS, _CHECK_KEY),
    "InvalidHeader": ProviderError(
        CREDENTIALS, _("The AccessKey ID holds characters that none has. Enter it anew, typed or copied as plain text.")
    ),
    "SignatureDoesNotMatch": ProviderError(
        CREDENTIALS, _("The AccessKey secret does not belong to this AccessKey ID. Enter the secret anew.")
    ),
    "IncompleteSignature": ProviderError(CREDENTIALS, _CHECK_KEY),
    "InvalidSignatureMethod": ProviderError(UNKNOWN, _OUR_REQUEST),
    "InvalidTimeStamp.Expired": ProviderError(CREDENTIALS, _SET_CLOCK),
    "InvalidTimeStamp.Format": ProviderError(CREDENTIALS, _SET_CLOCK),
    "IllegalTimestamp": ProviderError(CREDENTIALS, _SET_CLOCK),
    # A proxy that repeats a request gets this answer to the second copy, while the first was taken: no retry.
    "SignatureNonceUsed": ProviderError(
        TRANSIENT, _("A proxy on the way repeated the request. Turn its retries off for POST requests.")
    ),
    "Forbidden": ProviderError(CREDENTIALS, _GRANT),
    "Forbidden.RAM": ProviderError(CREDENTIALS, _GRANT),
    "Forbidden.NotSupportRAM": ProviderError(CREDENTIALS, _GRANT),
    "Forbidden.RiskControl": ProviderError(
        CREDENTIALS, _("Alibaba Cloud's risk control blocks this account. Open a ticket there to have it lifted.")
    ),
    "Forbidden.UserVerification": ProviderError(
        CREDENTIALS, _("Complete the real-name verification of the Alibaba Cloud account.")
    ),
    "NoPermission": ProviderError(CREDENTIALS, _GRANT),
    "InsufficientBalance": ProviderError(QUOTA, _TOP_UP),
    "InvalidVersion": ProviderError(UNKNOWN, _OUR_REQUEST),
    "InvalidAction.NotFound": ProviderError(UNKNOWN, _OUR_REQUEST),
    "InvalidApi.NotFound": ProviderError(UNKNOWN, _OUR_REQUEST),
    "InvalidParameter": ProviderError(UNKNOWN, _OUR_REQUEST),
    "InvalidParameter.Format": ProviderError(UNKNOWN, _OUR_REQUEST),
    "MissingParameter": ProviderError(UNKNOWN, _OUR_REQUEST),
    "UnsupportedHTTPMethod": ProviderError(UNKNOWN, _OUR_REQUEST),
    "UnsupportedParameter": ProviderError(UNKNOWN, _OUR_REQUEST),
    # Denied by flow control before anything was done: the one refusal that another try mends.
    "Throttling": ProviderError(THROTTLED, _SLOW_DOWN, retry=True),
    "Throttling.Api": ProviderError(THROTTLED, _SLOW_DOWN, retry=True),
    "Throttling.System": ProviderError(THROTTLED, _SLOW_DOWN, retry=True),
    "Throttling.User": ProviderError(THROTTLED, _SLOW_DOWN, retry=True),
    # With HTTP 500 and 503 these are uncertain; with another status the request was refused.
    "InternalError": ProviderError(TRANSIENT, _ASK_SUPPORT),
    "ServiceUnavailable": ProviderError(TRANSIENT, _("Alibaba Cloud is overloaded. If it lasts, see its status page.")),
}

ACCOUNT_ERRORS: Mapping[str, ProviderError] = {
    "isp.RAM_PERMISSION_DENY": ProviderError(CREDENTIALS, _GRANT),
    "isv.RAM_CHECK_FAILED": ProviderError(CREDENTIALS, _GRANT),
    "isv.ACCOUNT_NOT_EXISTS": ProviderError(
        CREDENTIALS, _("No account belongs to this AccessKey. Enter the AccessKey of the account that sends.")
    ),
    "isv.ACCOUNT_ABNORMAL": ProviderError(
        CREDENTIALS, _("Alibaba Cloud has locked this account's billing. Look into its console, or open a ticket.")
    ),
    "isv.SECURITY_FROZEN_ACCOUNT": ProviderError(
        CREDENTIALS, _("The account was frozen because nobody used it for long. Ask Alibaba Cloud to reopen it.")
    ),
    "isv.PRODUCT_UN_SUBSCRIPT": ProviderError(CREDENTIALS, _ACTIVATE),
    "isv.PRODUCT_UNSUBSCRIBE": ProviderError(CREDENTIALS, _ACTIVATE),
    "isv.INTERFACE_OFFLINE": ProviderError(UNKNOWN, _OUR_REQUEST),
    "isv.DENY_IP_RANGE": ProviderError(
        CREDENTIALS, _("Texts to mainland China must be sent from a server in mainland China. Send from such an IP.")
    ),
    "isv.OUT_OF_SERVICE": ProviderError(QUOTA, _TOP_UP),
    "isv.AMOUNT_NOT_ENOUGH": ProviderError(QUOTA, _TOP_UP),
    "isv.DAY_LIMIT_CONTROL": ProviderError(
        QUOTA, _("Today's limit of the account is reached. Raise it in the console's security settings, or wait.")
    ),
    "isv.MONTH_LIMIT_CONTROL": ProviderError(
        QUOTA, _("This month's limit of the account is reached. Raise it in the console's security settings.")
    ),
    # The documentation says to call again, but not that no part of a batch went out: a person decides.
    "isp.SYSTEM_ERROR": ProviderError(
        TRANSIENT, _("Alibaba Cloud had an internal error. Send the message again; if it lasts, open a ticket there.")
    ),
    "isp.GATEWAY_ERROR": ProviderError(
        TRANSIENT, _("Alibaba Cloud could not reach its own gateway. Send the message again later.")
    ),
}

SIGNATURE_AND_TEMPLATE_ERRORS: Mapping[str, ProviderError] = {
    "isv.SMS_SIGNATURE_ILLEGAL": ProviderError(
        TEMPLATE,
        _("Enter the signature exactly as the console lists it as approved, in the account of this AccessKey."),
    ),
    "isv.SMS_SIGN_ILLEGAL": ProviderError(TEMPLATE, _("This signature is banned. Apply for another one.")),
    "isv.SIGN_NAME_ILLEGAL": ProviderError(
        TEMPLATE, _("This signature breaks the rules for names (2 to 12 characters, no symbols). Apply for another.")
    ),
    "isv.SIGN_STATE_ILLEGAL": ProviderError(
        TEMPLATE, _("The console shows this signature as unusable, with the reason. Correct it there.")
    ),
    "isv.SMS_SIGNATURE_SCENE_ILLEGAL": ProviderError(
        TEMPLATE, _("A signature for one-time codes sends nothing else. Use one of the type “general”.")
    ),
    "isv.SMS_SIGN_EMOJI_ILLEGAL": ProviderError(TEMPLATE, _("Take the emoji out of the signature.")),
    "isv.SMS_TEMPLATE_ILLEGAL": ProviderError(
        TEMPLATE,
        _("Check that the template code is of this account, approved, and that its variables have the same names."),
    ),
    "isv.SMS_TEST_SIGN_TEMPLATE_LIMIT": ProviderError(
        TEMPLATE, _("A test signature goes with a test template only. Use approved ones of your own for both.")
    ),
    "isv.DOMESTIC_NUMBER_NOT_SUPPORTED": ProviderError(
        TEMPLATE, _("This template is for numbers abroad. Apply for a domestic one for numbers in mainland China.")
    ),
    "isv.EXTEND_CODE_ERROR": ProviderError(TEMPLATE, _EXTEND_CODE),
    "isv.ONE_CODE_MULTIPLE_SIGN": ProviderError(TEMPLATE, _EXTEND_CODE),
    "isv.CODE_EXCEED_LIMIT": ProviderError(TEMPLATE, _EXTEND_CODE),
    "isv.CODE_ERROR": ProviderError(TEMPLATE, _EXTEND_CODE),
    "template_parameter_count_illegal": ProviderError(
        TEMPLATE, _("A template for one-time codes may have one variable. Apply for one without the others.")
    ),
    "isv.INVALID_PARAMETERS": ProviderError(
        TEMPLATE,
        _("Check the template's code and variables and the signature for characters that do not belong there."),
    ),
}

#: The fault lies with the variables, so it is one of single messages only where they differ.
VARIABLE_ERRORS: Mapping[str, ProviderError] = {
    "isv.TEMPLATE_MISSING_PARAMETERS": ProviderError(
        TEMPLATE, _("Give every variable of the template registered at Alibaba Cloud a value."), single=True
    ),
    "isv.TEMPLATE_PARAMS_ILLEGAL": ProviderError(
        TEMPLATE,
        _("A value does not fit its variable's type. Change the variable's type in the console, or the value."),
        single=True,
    ),
    "isv.INVALID_JSON_PARAM": ProviderError(
        TEMPLATE, _("A value cannot be sent as it is. Look for line breaks and control characters in it."), single=True
    ),
    "isv.PARAM_LENGTH_LIMIT": ProviderError(
        TEMPLATE, _("Shorten the values: one-time codes have 4 to 6 characters, others 1 to 35."), single=True
    ),
    "isv.PARAM_NOT_SUPPORT_URL": ProviderError(
        TEMPLATE,
        _("Values must not hold links. Put the link into the template's own text and have it approved."),
        single=True,
    ),
    "isv.SMS_CONTENT_ILLEGAL": ProviderError(
        TEMPLATE, _("The text holds forbidden content. Change the template or the value, and try again."), single=True
    ),
    "isv.UNSUPPORTED_CONTENT": ProviderError(
        TEMPLATE, _("Take traditional characters, emoji and rare symbols out of the text and the values."), single=True
    ),
    "isv.SMS_CONTENT_MISMATCH_TEMPLATE_TYPE": ProviderError(
        TEMPLATE, _("Advertising needs a template of the type “promotional”. Use one, or change the text."), single=True
    ),
    "isv.SMS_TEST_TEMPLATE_PARAMS_ILLEGAL": ProviderError(
        TEMPLATE, _("A test template takes 4 to 6 digits only. Use an approved template of your own."), single=True
    ),
}

#: The fault lies with single numbers.
NUMBER_ERRORS: Mapping[str, ProviderError] = {
    # Our own: see ``_unsafe``.
    "AmbiguousNumber": ProviderError(
        RECIPIENT,
        _("Alibaba Cloud would take this number for one in mainland China. Send to it through another service."),
        single=True,
    ),
    "isv.MOBILE_NUMBER_ILLEGAL": ProviderError(
        RECIPIENT, _("This is no mobile number that Alibaba Cloud sends to. Correct it."), single=True
    ),
    # Should the vendor ever lower the limit, halves of the batch still go through.
    "isv.MOBILE_COUNT_OVER_LIMIT": ProviderError(
        RECIPIENT, _("The request had more numbers than Alibaba Cloud takes at once. Report it as a bug."), single=True
    ),
    # Per number and signature: 1 code a minute, 5 an hour, 10 a day (clock minutes and hours of UTC+8).
    "isv.BUSINESS_LIMIT_CONTROL": ProviderError(
        THROTTLED,
        _(
            "This number got as many texts as is allowed (codes: 1 a minute, 5 an hour, 10 a day). Wait, or raise "
            "the limits in the console."
        ),
        single=True,
    ),
    "isv.BLACK_KEY_CONTROL_LIMIT": ProviderError(
        RECIPIENT,
        _("The recipient complained about texts or opted out. Do not send marketing to this number."),
        single=True,
    ),
    "isv.CUSTOMER_REFUSED": ProviderError(
        RECIPIENT, _("The recipient opted out of marketing. Take the number off the list."), single=True
    ),
    "isv.SMS_TEST_NUMBER_LIMIT": ProviderError(
        RECIPIENT,
        _("Test signatures and templates reach only numbers bound in the console. Bind this one, or use your own."),
        single=True,
    ),
}

#: What carriers answer, hours later perhaps: codes of receipts and of QuerySendDetails.
RECEIPT_ERRORS: Mapping[str, ProviderError] = {
    "CONTENT_ERROR": ProviderError(
        TEMPLATE, _("Marketing must tell how to opt out. Add that to the template and have it approved.")
    ),
    "CONTENT_KEYWORD": ProviderError(
        TEMPLATE, _("The carrier blocked a word of the text. Change the template or the value.")
    ),
    "INVALID_NUMBER": ProviderError(RECIPIENT, _("The carrier does not know this number. Correct it.")),
    "IS_CLOSE": ProviderError(TRANSIENT, _("The carrier closed the route. Send again later; another one is used.")),
    "MOBILE_ACCOUNT_ABNORMAL": ProviderError(
        RECIPIENT, _("The recipient's contract is suspended or being moved to another carrier. Try again later.")
    ),
    "MOBILE_IN_BLACK": ProviderError(
        RECIPIENT, _("The carrier blocks this number: its owner opted out or complained. Take it off the list.")
    ),
    "MOBILE_NOT_ON_SERVICE": ProviderError(RECIPIENT, _PHONE_UNREACHABLE),
    "MOBILE_SEND_LIMIT": ProviderError(
        THROTTLED, _("This number got more texts than its carrier allows. Send to it less often.")
    ),
    "MOBILE_TERMINAL_ERROR": ProviderError(
        RECIPIENT, _("The recipient's phone could not store the text: memory or SIM card full, or a blocker.")
    ),
    # Spelt so in the vendor's documentation.
    "MOBLLE_TERMINAL_ERROR": ProviderError(
        RECIPIENT, _("The recipient's phone could not store the text: memory or SIM card full, or a blocker.")
    ),
    "NO_ROUTE": ProviderError(
        TEMPLATE, _("No carrier takes this kind of text. Ask Alibaba Cloud which template it would take.")
    ),
    "PARAMS_ILLEGAL": ProviderError(TEMPLATE, _("Check signature, template and number: the carrier refused one.")),
    "PORT_NOT_REGISTERED": ProviderError(
        TEMPLATE, _("The signature is not registered with the carriers yet. See its real-name status in the console.")
    ),
    "REQUEST_SUCCESS": ProviderError(RECIPIENT, _PHONE_UNREACHABLE),
    "SP_NOT_BY_INTER_SMS": ProviderError(
        RECIPIENT, _("The recipient's contract has no texts from abroad. Its carrier can enable them.")
    ),
    "SP_UNKNOWN_ERROR": ProviderError(UNKNOWN, _ASK_SUPPORT),
    "USER_REJECT": ProviderError(
        RECIPIENT, _("The recipient unsubscribed from this sender. Take the number off the list.")
    ),
}

#: What kept Alibaba Cloud from answering, by the name of urllib3's exception.
CONNECTION_ERRORS: Mapping[str, ProviderError] = {
    "ConnectTimeoutError": ProviderError(
        TRANSIENT,
        _("Alibaba Cloud did not answer the connection in time. Check this server's network, firewall and proxy."),
        retry=True,
    ),
    "NameResolutionError": ProviderError(
        TRANSIENT, _("Alibaba Cloud's address could not be resolved. Check this server's DNS."), retry=True
    ),
    "NewConnectionError": ProviderError(
        TRANSIENT, _("No connection to Alibaba Cloud. Check this server's network and firewall."), retry=True
    ),
    "ProxyError": ProviderError(
        TRANSIENT,
        _("The HTTP proxy of this server failed. Check HTTPS_PROXY and NO_PROXY in its environment."),
        retry=True,
    ),
    "SSLError": ProviderError(
        TRANSIENT,
        _("The connection to Alibaba Cloud is not trusted. Check this server's clock, its certificates and any proxy."),
        retry=True,
    ),
}

ERRORS: Mapping[str, ProviderError] = {
    **GATEWAY_ERRORS,
    **ACCOUNT_ERRORS,
    **SIGNATURE_AND_TEMPLATE_ERRORS,
    **VARIABLE_ERRORS,
    **NUMBER_ERRORS,
    **RECEIPT_ERRORS,
    **CONNECTION_ERRORS,
}
