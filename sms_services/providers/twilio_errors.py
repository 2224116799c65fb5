"""What Twilio's error codes mean, and what an admin can do about each.

Source: the "Error and Warning Dictionary" of Twilio's documentation, one page per code. ``REQUEST_ERRORS`` answer a
request to send, which is then not taken; ``DELIVERY_ERRORS`` stand later in a message that was taken.

The kind ``credentials`` stands for all that is wrong with the service rather than with the message, its sender
included: another service might take it.
"""

from collections.abc import Mapping

from django.utils.translation import gettext_lazy as _

from ..choices import ErrorKind
from .base import ProviderError

_NO_SUCH_NUMBER = ProviderError(
    ErrorKind.RECIPIENT, _("Twilio cannot text this number. Check it with its owner."), single=True
)
_NO_MOBILE = ProviderError(
    ErrorKind.RECIPIENT, _("This is a landline or cannot receive texts. Ask for a mobile number."), single=True
)
_UNREACHABLE_ROUTE = ProviderError(
    ErrorKind.RECIPIENT,
    _(
        "This sender cannot text this number. Look up Twilio's SMS guidelines for the country, and use a sender of a "
        "kind that it allows."
    ),
    single=True,
)
_WRONG_SENDER = ProviderError(
    ErrorKind.CREDENTIALS,
    _(
        "The sender is none of this account's. Enter a number that the Twilio console lists under “Active numbers” and "
        "that can send SMS, in E.164, an alphanumeric sender ID, or a messaging service (MG…)."
    ),
)
_WRONG_SENDER_ID = ProviderError(
    ErrorKind.CREDENTIALS,
    _(
        "This alphanumeric sender ID is not allowed. Register it in the Twilio console for the recipient's country, or "
        "use a number."
    ),
)
_WRONG_MESSAGING_SERVICE = ProviderError(
    ErrorKind.CREDENTIALS,
    _("The account has no such messaging service. Copy its SID (MG…) anew from the Twilio console."),
)
_EMPTY_MESSAGING_SERVICE = ProviderError(
    ErrorKind.CREDENTIALS,
    _(
        "The messaging service has no sender that fits this recipient. Add a number or sender ID to its sender pool in "
        "the Twilio console."
    ),
)
_INACTIVE = ProviderError(
    ErrorKind.QUOTA,
    _("The account is suspended, mostly for want of funds. Top it up in the Twilio console, or ask Twilio's support."),
)
_TRIAL = ProviderError(
    ErrorKind.CREDENTIALS,
    _(
        "A trial account only texts verified numbers, from its trial number. Verify the number in the Twilio console, "
        "or upgrade the account."
    ),
)
_THROTTLED = ProviderError(
    ErrorKind.THROTTLED,
    _("The account asks too much of Twilio at a time. Lower “messages per second” of the service."),
    retry=True,
)
_FULL_QUEUE = ProviderError(
    ErrorKind.THROTTLED,
    _(
        "The sender's queue at Twilio is full. Lower “messages per second” of the service, or send through a messaging "
        "service with more senders."
    ),
    retry=True,
)
_DAILY_LIMIT = ProviderError(
    ErrorKind.QUOTA,
    _("The account's or campaign's daily limit is reached. Wait for a day, or ask Twilio for a higher limit."),
)
_TOO_LONG = ProviderError(
    ErrorKind.TEMPLATE, _("The text is too long. Shorten it below 1,600 characters; emoji count more than once.")
)
_NO_TEXT = ProviderError(ErrorKind.TEMPLATE, _("The text is empty. Write one into the template."))
_FILTERED = ProviderError(
    ErrorKind.TEMPLATE,
    _(
        "Twilio or the carrier took the text for spam. Word it as in the registered campaign, with the sender's name, "
        "and without shortened links."
    ),
)
_OWN_FAILURE = ProviderError(
    ErrorKind.TRANSIENT,
    _("Twilio had an error of its own, and the text may have gone out. If it lasts, look at status.twilio.com."),
)
_CARRIER_FAILURE = ProviderError(
    ErrorKind.TRANSIENT,
    _("The carrier did not deliver the text. Try again later; if it lasts, give Twilio's support some message SIDs."),
)
_UNREGISTERED = ProviderError(
    ErrorKind.CREDENTIALS,
    _(
        "The sender is not registered for the recipient's country or carrier (in the USA: A2P 10DLC or toll-free "
        "verification). Finish its registration in the Twilio console."
    ),
)
_FRAUD_BLOCK = ProviderError(
    ErrorKind.RECIPIENT,
    _(
        "Twilio holds texts to this number back as suspected fraud (SMS pumping). Try again in an hour; if the number "
        "is known to you, add it to Twilio's Global Safe List."
    ),
    single=True,
)

#: Codes with which Twilio answers a request to send (or to read the account).
REQUEST_ERRORS: Mapping[str, ProviderError] = {
    # The account
    "20003": ProviderError(
        ErrorKind.CREDENTIALS,
        _(
            "The account SID and the auth token do not belong together, or the account is closed. Copy both anew from "
            "the Twilio console, live ones and not test credentials."
        ),
    ),
    "20404": ProviderError(
        ErrorKind.CREDENTIALS, _("Twilio has no such account. Copy the account SID (AC…) anew from the Twilio console.")
    ),
    "20008": ProviderError(
        ErrorKind.CREDENTIALS, _("These are test credentials. Enter the live ones from the Twilio console.")
    ),
    "20006": ProviderError(
        ErrorKind.CREDENTIALS, _("The account may not do this. Check its status and permissions in the Twilio console.")
    ),
    "20403": ProviderError(
        ErrorKind.CREDENTIALS, _("The account is suspended or closed, or may not do this. Ask Twilio's support.")
    ),
    "70051": ProviderError(
        ErrorKind.CREDENTIALS,
        _("The API key may not send messages. Give it the permission, or enter the account's auth token."),
    ),
    "10001": _INACTIVE,
    "20005": _INACTIVE,
    "90010": _INACTIVE,
    "10002": _TRIAL,
    "21608": _TRIAL,
    "572002": _TRIAL,
    "572005": _TRIAL,
    "21408": ProviderError(
        ErrorKind.CREDENTIALS,
        _(
            "Texts to this country are switched off. Allow it in the Twilio console under Messaging, Settings, Geo "
            "permissions."
        ),
    ),
    # Too fast, too much
    "20429": _THROTTLED,
    "429": _THROTTLED,
    "63017": _THROTTLED,
    "21611": _FULL_QUEUE,
    "63038": _DAILY_LIMIT,
    "21730": ProviderError(ErrorKind.TRANSIENT, _("Twilio is under maintenance. Wait until it is over."), retry=True),
    # The recipient
    "21211": _NO_SUCH_NUMBER,
    "21214": _NO_SUCH_NUMBER,
    "21217": _NO_SUCH_NUMBER,
    "21265": _NO_SUCH_NUMBER,
    "21266": ProviderError(
        ErrorKind.RECIPIENT, _("The number is the sender's own. Enter another number."), single=True
    ),
    "21401": _NO_SUCH_NUMBER,
    "21407": _NO_MOBILE,
    "21421": _NO_SUCH_NUMBER,
    "21604": ProviderError(ErrorKind.RECIPIENT, _("There is no number to text. Enter one."), single=True),
    "21610": ProviderError(
        ErrorKind.RECIPIENT,
        _("This number opted out by answering STOP. Only its owner can change that, by texting START to the sender."),
        single=True,
    ),
    "21612": _UNREACHABLE_ROUTE,
    "21614": _NO_MOBILE,
    "21635": _NO_MOBILE,
    # The sender
    "21210": _WRONG_SENDER,
    "21212": _WRONG_SENDER,
    "21601": _WRONG_SENDER,
    "21603": _WRONG_SENDER,
    "21606": _WRONG_SENDER,
    "21607": _TRIAL,
    "21616": _WRONG_SENDER,
    "21657": _WRONG_SENDER_ID,
    "21659": _WRONG_SENDER,
    "21660": _WRONG_SENDER,
    "21661": _WRONG_SENDER,
    "21267": _WRONG_SENDER_ID,
    "21701": _WRONG_MESSAGING_SERVICE,
    "21705": _WRONG_MESSAGING_SERVICE,
    "30127": _WRONG_MESSAGING_SERVICE,
    "21703": _EMPTY_MESSAGING_SERVICE,
    "21704": _EMPTY_MESSAGING_SERVICE,
    "21711": _EMPTY_MESSAGING_SERVICE,
    # The text
    "21602": _NO_TEXT,
    "21619": _NO_TEXT,
    "21605": _TOO_LONG,
    "21617": _TOO_LONG,
    "30044": ProviderError(
        ErrorKind.TEMPLATE, _("The text is too long for a trial account. Shorten it, or upgrade the account.")
    ),
    "21618": ProviderError(
        ErrorKind.TEMPLATE, _("Twilio does not send this text. Take unusual characters and forbidden content out.")
    ),
    # Twilio itself
    "20500": _OWN_FAILURE,
    "20503": _OWN_FAILURE,
}

#: Codes of messages that Twilio took and could not deliver.
DELIVERY_ERRORS: Mapping[str, ProviderError] = {
    "30001": _FULL_QUEUE,
    "30002": _INACTIVE,
    "30003": ProviderError(
        ErrorKind.RECIPIENT,
        _("The phone is switched off, without signal or abroad, or cannot receive texts. Try again later."),
        single=True,
    ),
    "30004": ProviderError(
        ErrorKind.RECIPIENT,
        _("The recipient or the carrier blocks texts from this sender. Ask the recipient to allow them."),
        single=True,
    ),
    "30005": _NO_SUCH_NUMBER,
    "30006": _NO_MOBILE,
    "30007": _FILTERED,
    "30008": _CARRIER_FAILURE,
    "30010": ProviderError(
        ErrorKind.QUOTA, _("The text costs more than the highest price that the account allows. Raise it at Twilio.")
    ),
    "30017": _CARRIER_FAILURE,
    "30018": _UNREGISTERED,
    "30019": _TOO_LONG,
    "30021": _OWN_FAILURE,
    "30022": _THROTTLED,
    "30023": _DAILY_LIMIT,
    "30024": _UNREGISTERED,
    "30027": _DAILY_LIMIT,
    "30032": _UNREGISTERED,
    "30033": ProviderError(
        ErrorKind.CREDENTIALS, _("The A2P 10DLC campaign is suspended. See why in the Twilio console.")
    ),
    "30034": _UNREGISTERED,
    "30035": _UNREGISTERED,
    "30036": ProviderError(
        ErrorKind.THROTTLED,
        _(
            "The text waited at Twilio longer than the messaging service's validity period. Lengthen it, or lower "
            "“messages per second” of the service."
        ),
    ),
    "30038": ProviderError(
        ErrorKind.RECIPIENT, _("Numbers at Twilio cannot receive one-time codes. Ask for another number."), single=True
    ),
    "30042": _WRONG_SENDER_ID,
    "30410": _CARRIER_FAILURE,
    "30450": _FRAUD_BLOCK,
    "30453": _FRAUD_BLOCK,
    "30500": _OWN_FAILURE,
}

#: What kept Twilio from answering, by the name of urllib3's exception.
CONNECTION_ERRORS: Mapping[str, ProviderError] = {
    "NameResolutionError": ProviderError(
        ErrorKind.TRANSIENT, _("Twilio's address could not be resolved. Check this server's DNS."), retry=True
    ),
    "NewConnectionError": ProviderError(
        ErrorKind.TRANSIENT, _("No connection to Twilio. Check this server's network and firewall."), retry=True
    ),
    "ConnectTimeoutError": ProviderError(
        ErrorKind.TRANSIENT,
        _("Twilio did not answer the connection in time. Check this server's network, firewall and proxy."),
        retry=True,
    ),
    "ProxyError": ProviderError(
        ErrorKind.TRANSIENT,
        _("The HTTP proxy of this server failed. Check HTTPS_PROXY and NO_PROXY in its environment."),
        retry=True,
    ),
    "SSLError": ProviderError(
        ErrorKind.TRANSIENT,
        _("The connection to Twilio is not trusted. Check this server's clock, its certificates and any proxy."),
        retry=True,
    ),
}

ERRORS: Mapping[str, ProviderError] = {**REQUEST_ERRORS, **DELIVERY_ERRORS, **CONNECTION_ERRORS}
