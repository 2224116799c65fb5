"""Amazon SNS: texts straight to a number, one ``Publish`` each (API version 2010-03-31, SDK: boto3).

SNS keeps no reference of ours and cannot be asked about a message, so a text in doubt stays in doubt.
"""

import os
import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from ..choices import ErrorKind, Outcome, Purpose
from ..encryption import Secret
from .aws_sns_errors import ERRORS
from .base import OutgoingMessage, Provider, Result, Verification
from .connection_errors import never_connected

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient

#: In UTF-8. The developer guide ("Publishing to a mobile phone") says 1,600 bytes, the API reference 1,600
#: characters; what keeps the smaller one keeps both.
MAX_BYTES = 1600

#: What SNS refuses: everything outside the character range of XML 1.0 (Amazon SNS FAQs, "message limits").
_FORBIDDEN_CHARACTER = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_ABOUT_THE_TEXT = re.compile(r"^Invalid parameter: (Empty )?message\b", re.IGNORECASE)


@dataclass(frozen=True)
class AwsSnsConfiguration:
    """One AWS account in one region. Timeouts are seconds; ``read_timeout`` is per received piece."""

    access_key: str
    secret_key: Secret
    region: str
    endpoint_url: str = ""
    connect_timeout: float = 3.0
    read_timeout: float = 8.0
    threads: int = 32


class AwsSnsProvider(Provider):
    """Sends through Amazon SNS. One-time codes and notices go as ``Transactional``, marketing as ``Promotional``."""

    name = "aws_sns"
    extra = "aws-sns"
    errors = ERRORS

    def __init__(self, configuration: AwsSnsConfiguration) -> None:
        self.configuration = configuration

    def connect(self) -> "SNSClient":
        import boto3
        import botocore
        from botocore.config import Config

        configuration = self.configuration
        session = boto3.Session(
            aws_access_key_id=configuration.access_key,
            aws_secret_access_key=configuration.secret_key.reveal(),
            region_name=configuration.region,
            botocore_session=_session_without_files(),
        )
        options: dict[str, Any] = {
            # One try: botocore's own tries send a text again that SNS may have taken. "max_attempts" would count
            # the tries after the first.
            "retries": {"total_max_attempts": 1, "mode": "standard"},
            "connect_timeout": configuration.connect_timeout,
            "read_timeout": configuration.read_timeout,
            "max_pool_connections": configuration.threads,
            # Otherwise botocore composes a long one for every request, an eighth of a request's CPU.
            "user_agent": f"django-sms-services Boto3/{boto3.__version__} Botocore/{botocore.__version__}",
            # AWS_ENDPOINT_URL must not lead a service's texts elsewhere, and AWS_DEFAULTS_MODE must not ask IMDS.
            "ignore_configured_endpoint_urls": True,
            "defaults_mode": "legacy",
        }
        return session.client("sns", endpoint_url=configuration.endpoint_url or None, config=Config(**options))

    def send_one(self, message: OutgoingMessage) -> Result:
        client = self.client
        return self.attempt(
            lambda: client.publish(
                PhoneNumber=message.phone_number,
                Message=message.text,
                MessageAttributes={"AWS.SNS.SMS.SMSType": {"DataType": "String", "StringValue": _sms_type(message)}},
            ),
            _read_publish,
            [message],
        )

    def verify(self) -> Verification:
        client = self.client
        attributes: dict[str, str] = {}

        def read(response: Any) -> Result:
            attributes.update(response["attributes"])
            return Result(Outcome.ACCEPTED)

        result = self.attempt(client.get_sms_attributes, read)
        if result.outcome is not Outcome.ACCEPTED:
            return self._failed_verification(result)
        return Verification(ok=True, details=[*_account_details(attributes), *self._sandbox_details()])

    def problem_with(self, message: OutgoingMessage) -> str | None:
        text = message.text
        if not text.strip():
            return str(_("The text is empty. Write one into the template."))
        if forbidden := _FORBIDDEN_CHARACTER.search(text):
            return str(_("The text has a character that cannot be sent (%(character)s). Take it out.")) % {
                "character": f"U+{ord(forbidden.group()):04X}"
            }
        if (size := len(text.encode())) > MAX_BYTES:
            return str(
                _(
                    "The text has %(size)d bytes; Amazon SNS takes at most %(limit)d. Shorten it: letters with accents "
                    "count as two bytes, Chinese characters as three, emoji as four."
                )
            ) % {"size": size, "limit": MAX_BYTES}
        return None

    def read_error(self, error: Exception) -> Result:
        from botocore.exceptions import ClientError, ParamValidationError

        if isinstance(error, ClientError):
            return self._read_answer(error.response)
        name = type(error).__name__
        if isinstance(error, ParamValidationError | UnicodeError):
            return Result(Outcome.REFUSED, ErrorKind.UNKNOWN, name)
        outcome = Outcome.NOT_SENT if _never_left(error) else Outcome.UNCERTAIN
        return Result(outcome, ErrorKind.TRANSIENT, name)

    def _read_answer(self, response: Any) -> Result:
        """What SNS refused, or what it says of its own failure."""
        problem, metadata = response.get("Error", {}), response.get("ResponseMetadata", {})
        status = metadata.get("HTTPStatusCode", 0)
        code, detail = str(problem.get("Code") or status), str(problem.get("Message") or "")
        request_id = str(metadata.get("RequestId") or "")
        entry = self.errors.get(code)
        throttled = entry.kind is ErrorKind.THROTTLED if entry else status == 429
        if throttled:
            # Nothing was taken, whatever the status.
            pause = str(metadata.get("HTTPHeaders", {}).get("retry-after", ""))
            seconds = float(pause) if pause.isdecimal() else None
            return Result(Outcome.NOT_SENT, ErrorKind.THROTTLED, code, detail, request_id, retry_after=seconds)
        if not 400 <= status < 500 or status == 408:
            return Result(Outcome.UNCERTAIN, ErrorKind.TRANSIENT, code, detail, request_id)
        result = self.refusal(code, detail, request_id)
        if result.error_kind is ErrorKind.RECIPIENT and _ABOUT_THE_TEXT.match(detail):
            return replace(result, error_kind=ErrorKind.TEMPLATE)
        return result

    def _failed_verification(self, result: Result) -> Verification:
        advice: str | Promise = self.advice_for(result.code, result.error_kind or "")
        if result.code in {"AuthorizationError", "AccessDenied", "AccessDeniedException"}:
            advice = _(
                "The key is valid, but may not read the SMS settings. Allow “sns:GetSMSAttributes” in its IAM policy "
                "to verify it here; sending needs “sns:Publish”."
            )
        return Verification(
            ok=False, error_kind=result.error_kind, code=result.code, detail=result.detail, advice=advice
        )

    def _sandbox_details(self) -> list[tuple[str | Promise, str]]:
        """Whether the account may text only numbers that it verified; empty if the key may not ask."""
        client = self.client
        details: list[tuple[str | Promise, str]] = []

        def read(response: Any) -> Result:
            if response["IsInSandbox"] is True:
                details.append((_("SMS sandbox"), str(_("Yes: only numbers verified in the SNS console get texts."))))
            return Result(Outcome.ACCEPTED)

        self.attempt(client.get_sms_sandbox_account_status, read)
        return details


@lru_cache(maxsize=1)
def available_regions() -> frozenset[str]:
    """The regions in which the installed SDK knows SNS (not all of them send texts; AWS publishes no list to ask).

    Raises:
        MissingSDK: boto3 is not installed.
    """
    try:
        session = _session_without_files()
    except ImportError as error:
        problem = AwsSnsProvider.missing_sdk(error)
    else:
        partitions = session.get_available_partitions()
        return frozenset(region for name in partitions for region in session.get_available_regions("sns", name))
    raise problem


def _session_without_files() -> Any:
    """A botocore session that knows neither the AWS files of this user nor ``AWS_PROFILE``.

    A service is what its row says: another project's profile must not change it, nor a missing one break it.
    """
    from botocore.session import Session

    unset = (None, None, None, None)
    nowhere = (None, None, os.devnull, None)
    return Session(session_vars={"profile": unset, "config_file": nowhere, "credentials_file": nowhere})


def _sms_type(message: OutgoingMessage) -> str:
    return "Promotional" if message.purpose == Purpose.MARKETING else "Transactional"


def _read_publish(response: Any) -> Result:
    request_id = str(response.get("ResponseMetadata", {}).get("RequestId") or "")
    message_id = response.get("MessageId")
    if not message_id:
        return Result(Outcome.UNCERTAIN, ErrorKind.TRANSIENT, "MissingMessageId", request_id=request_id)
    return Result(Outcome.ACCEPTED, request_id=request_id, message_id=message_id)


def _account_details(attributes: dict[str, str]) -> list[tuple[str | Promise, str]]:
    """The settings of GetSMSAttributes that an admin wants to see; what was never set, SNS leaves out."""
    limit = attributes.get("MonthlySpendLimit")
    shown: list[tuple[str | Promise, str]] = [
        (_("Monthly spending limit"), f"{limit} USD" if limit else ""),
        (_("Default SMS type"), attributes.get("DefaultSMSType", "")),
        (_("Default sender ID"), attributes.get("DefaultSenderID", "")),
    ]
    return [line for line in shown if line[1]]


def _never_left(error: Exception) -> bool:
    """Whether the request certainly did not reach SNS."""
    from botocore.exceptions import ConnectTimeoutError, EndpointConnectionError, ProxyConnectionError, SSLError

    if isinstance(error, ProxyConnectionError | SSLError):
        return never_connected(error.kwargs.get("error"))
    return isinstance(error, EndpointConnectionError | ConnectTimeoutError)
