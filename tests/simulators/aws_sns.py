"""Amazon SNS, the SMS part of API version 2010-03-31 (query protocol: form in, XML out)."""

from __future__ import annotations

import hmac
import re
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from xml.sax.saxutils import escape

from .base import RefusedError, Simulator, form_parameters
from .http_server import HttpReply, HttpRequest
from .records import Accepted, Request
from .signatures import authorization_fields, sigv4_signature

NAMESPACE = "http://sns.amazonaws.com/doc/2010-03-31/"
CLOCK_SKEW = timedelta(minutes=15)
E164 = re.compile(r"\+[1-9][0-9]{6,14}")
MAX_MESSAGE_BYTES = 1600

# HTTP statuses of "Common Error Types" and of the actions' own errors; anything else is a 400.
STATUSES = {
    "AccessDenied": 403,
    "AccessDeniedException": 403,
    "AuthorizationError": 403,
    "ExpiredToken": 403,
    "InternalError": 500,
    "InternalFailure": 500,
    "InvalidClientTokenId": 403,
    "InvalidSecurity": 403,
    "KMSOptInRequired": 403,
    "MissingAuthenticationToken": 403,
    "NotFound": 404,
    "OptInRequired": 403,
    "ServiceUnavailable": 503,
    "SignatureDoesNotMatch": 403,
    "Throttled": 429,
}
MESSAGES = {
    "InvalidClientTokenId": "The security token included in the request is invalid.",
    "MissingAuthenticationToken": "Request is missing Authentication Token",
    "SignatureDoesNotMatch": (
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
        "Access Key and signing method. Consult the service documentation for details."
    ),
    "Throttling": "Rate exceeded",
    "ThrottlingException": "Rate exceeded",
    "Throttled": "Rate exceeded",
    "InternalError": "The request processing has failed because of an unknown error, exception or failure.",
    "ServiceUnavailable": "The request has failed due to a temporary failure of the server.",
}


class AwsSnsSimulator(Simulator):
    """Publish to a phone number, GetSMSAttributes and CheckIfPhoneNumberIsOptedOut.

    `opted_out` (a set of numbers) and `sms_attributes` may be set. Publish takes a number that opted out, as
    SNS does: such a text is accepted and dropped.
    """

    sends = frozenset({"Publish"})
    throttled = "Throttling"
    server_error = "InternalError"
    unavailable = "ServiceUnavailable"

    def __init__(
        self,
        *,
        access_key: str = "AKIASIMULATEDACCESSKEY",
        secret_key: str = "simulated-secret-access-key-aws",
        region: str = "us-east-1",
        port: int = 0,
        latency: float = 0.0,
        keep_requests: bool = True,
    ) -> None:
        credentials = {"access_key": access_key, "secret_key": secret_key, "region": region}
        self.opted_out: set[str] = set()
        self.sms_attributes = {"DefaultSMSType": "Transactional", "MonthlySpendLimit": "1"}
        super().__init__(credentials=credentials, port=port, latency=latency, keep_requests=keep_requests)

    # Reading

    def read(self, http: HttpRequest) -> tuple[str, dict[str, str]]:
        parameters = form_parameters(http.query) | form_parameters(http.body)
        return parameters.get("Action", ""), parameters

    def authenticate(self, http: HttpRequest) -> None:
        fields = authorization_fields(http, "AWS4-HMAC-SHA256")
        if fields is None:
            raise RefusedError("MissingAuthenticationToken")
        access_key, _, scope = fields["Credential"].partition("/")
        if access_key != self.credentials["access_key"]:
            raise RefusedError("InvalidClientTokenId")
        date, _, rest = scope.partition("/")
        if rest != f"{self.credentials['region']}/sns/aws4_request":
            raise RefusedError("SignatureDoesNotMatch", "Credential should be scoped to a valid region.")
        if not {"host", "x-amz-date"} <= set(fields["SignedHeaders"].split(";")):
            raise RefusedError("SignatureDoesNotMatch")
        expected = sigv4_signature(
            http, signed_headers=fields["SignedHeaders"], scope=scope, secret=self.credentials["secret_key"]
        )
        if not hmac.compare_digest(fields["Signature"].encode(), expected.encode()):
            raise RefusedError("SignatureDoesNotMatch")
        self._check_freshness(http.headers["x-amz-date"], date)

    def _check_freshness(self, stamp: str, date: str) -> None:
        try:
            signed_at = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        except ValueError:
            raise RefusedError("IncompleteSignature") from None
        if not stamp.startswith(date) or abs(datetime.now(UTC) - signed_at) > CLOCK_SKEW:
            raise RefusedError("SignatureDoesNotMatch", f"Signature expired: {stamp}")

    def numbers(self, request: Request) -> list[str]:
        number = request.parameters.get("PhoneNumber") or request.parameters.get("phoneNumber")
        return [number] if number else []

    # Doing

    def perform(self, request: Request) -> HttpReply:
        actions: dict[str, Callable[[dict[str, str]], str]] = {
            "Publish": self._publish,
            "GetSMSAttributes": self._get_sms_attributes,
            "CheckIfPhoneNumberIsOptedOut": self._check_if_phone_number_is_opted_out,
        }
        action = request.action
        if action not in actions:
            raise RefusedError("InvalidAction", f"The action {action} is not valid for this web service.")
        result = actions[action](request.parameters)
        request_id = str(uuid.uuid4())
        return xml_reply(
            f'<{action}Response xmlns="{NAMESPACE}"><{action}Result>{result}</{action}Result>'
            f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{action}Response>",
            request_id=request_id,
        )

    def _publish(self, parameters: dict[str, str]) -> str:
        phone_number, text = parameters.get("PhoneNumber", ""), parameters.get("Message", "")
        if not E164.fullmatch(phone_number):
            reason = f"PhoneNumber Reason: {phone_number} is not valid to publish to"
            raise RefusedError("InvalidParameter", f"Invalid parameter: {reason}")
        if not text:
            raise RefusedError("InvalidParameter", "Invalid parameter: Empty message")
        if len(text.encode()) > MAX_MESSAGE_BYTES:
            raise RefusedError("InvalidParameter", "Invalid parameter: Message too long")
        message_id = str(uuid.uuid4())
        self._journal.add(
            Accepted(
                phone_number=phone_number,
                message_id=message_id,
                received_at=time.time(),
                text=text,
                attributes=message_attributes(parameters),
            )
        )
        return f"<MessageId>{message_id}</MessageId>"

    def _get_sms_attributes(self, parameters: dict[str, str]) -> str:
        wanted = {value for name, value in parameters.items() if name.startswith("attributes.member.")}
        entries = "".join(
            f"<entry><key>{escape(name)}</key><value>{escape(value)}</value></entry>"
            for name, value in self.sms_attributes.items()
            if not wanted or name in wanted
        )
        return f"<attributes>{entries}</attributes>"

    def _check_if_phone_number_is_opted_out(self, parameters: dict[str, str]) -> str:
        phone_number = parameters.get("phoneNumber", "")
        if not E164.fullmatch(phone_number):
            raise RefusedError("InvalidParameter", "Invalid parameter: PhoneNumber Reason: input incorrectly formatted")
        return f"<isOptedOut>{'true' if phone_number in self.opted_out else 'false'}</isOptedOut>"

    # Refusing

    def refusal(self, code: str, message: str | None, status: int | None, retry_after: int | None) -> HttpReply:
        status = status or STATUSES.get(code, 400)
        request_id = str(uuid.uuid4())
        return xml_reply(
            f'<ErrorResponse xmlns="{NAMESPACE}"><Error><Type>{"Receiver" if status >= 500 else "Sender"}</Type>'
            f"<Code>{escape(code)}</Code><Message>{escape(message or MESSAGES.get(code, code))}</Message></Error>"
            f"<RequestId>{request_id}</RequestId></ErrorResponse>",
            status=status,
            request_id=request_id,
            headers={} if retry_after is None else {"Retry-After": str(retry_after)},
        )


def message_attributes(parameters: dict[str, str]) -> dict[str, str]:
    """`MessageAttributes.entry.N.Name` and `.Value.StringValue` as one dict."""
    names = {
        name.removesuffix(".Name"): value
        for name, value in parameters.items()
        if name.startswith("MessageAttributes.entry.") and name.endswith(".Name")
    }
    return {value: parameters.get(f"{entry}.Value.StringValue", "") for entry, value in names.items()}


def xml_reply(content: str, *, request_id: str, status: int = 200, headers: dict[str, str] | None = None) -> HttpReply:
    return HttpReply(status, content.encode(), "text/xml", headers={"x-amzn-RequestId": request_id, **(headers or {})})
