"""Alibaba Cloud SMS (Dysmsapi 2017-05-25): template codes with variables, in batches.

One request carries up to 500 numbers with equal variables (SendSms) or up to 100 with their own (SendBatchSms).
A request is taken as a whole or refused as a whole, and is not idempotent.

Not checked here, as the vendor's rules for it differ by account: the signature's length (2 to 12 characters on the
mainland) and how many variables a template for one-time codes may have (one; some ready-made templates have two).
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, timezone
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from ..choices import ErrorKind, MessageStatus, Outcome, Purpose, TemplateKind
from ..encryption import Secret
from ..exceptions import ListingFailed, LookUpFailed
from ..phone_numbers import is_mainland_china
from ..segments import GSM_BASIC, GSM_EXTENDED, SegmentCount, count_segments
from .alibaba_cloud_connection import new_client, prepare_session
from .alibaba_cloud_errors import ERRORS, VARIABLE_ERRORS
from .alibaba_cloud_grouping import have_equal_params, request_groups, template_and_region
from .alibaba_cloud_listing import STATUSES, reason_of, template_of
from .base import (
    OutgoingMessage,
    Provider,
    Record,
    RegisteredTemplate,
    Result,
    Verification,
)
from .connection_errors import never_connected

DEFAULT_ENDPOINT_URL = "https://dysmsapi.aliyuncs.com"
#: Rows per page, the vendor's limit (QuerySendDetails, QuerySmsSignList, QuerySmsTemplateList), and how many pages
#: are read at most: an account may have just under 5,000 templates.
PAGE_SIZE = 50
MAX_PAGES = 20
MAX_TEMPLATE_PAGES = 100
#: Days begin and end, and times are written, in this zone.
CHINA_TIME = timezone(timedelta(hours=8))
#: QuerySendDetails knows no older messages.
RECORDS_KEPT = timedelta(days=30)


@dataclass(frozen=True)
class AlibabaCloudConfiguration:
    """One account and one of its signatures. ``endpoint_url`` replaces the vendor's own; timeouts are seconds."""

    access_key: str
    access_secret: Secret
    verify_sign: str
    endpoint_url: str = ""
    connect_timeout: float = 3.0
    read_timeout: float = 8.0


class AlibabaCloudProvider(Provider):
    name = "alibaba_cloud"
    extra = "alibaba-cloud"
    sends_by_code = True
    has_batches = True
    can_look_up = True
    lists_templates = True
    errors = ERRORS
    #: Signature included (Alibaba Cloud SMS, "SMS sending rules").
    max_characters = 500

    def __init__(self, configuration: AlibabaCloudConfiguration) -> None:
        self.configuration = configuration

    def connect(self) -> Any:
        configuration = self.configuration
        return new_client(
            configuration.access_key,
            configuration.access_secret.reveal(),
            self._endpoint_url,
            configuration.connect_timeout,
            configuration.read_timeout,
        )

    # Sending

    def batches(self, messages: Sequence[OutgoingMessage], limit: int | None = None) -> Iterator[list[int]]:
        return request_groups(messages, limit)

    def send(self, messages: Sequence[OutgoingMessage], reference: str) -> list[Result]:
        """Send one group, and find the messages for whose sake the vendor refuses it.

        A refusal that may be one message's fault cuts the group in halves, and those again, side by side, until the
        faulty ones stand alone. Only what was certainly refused is sent again. A refusal that would meet the rest
        too (credentials, balance, flow control) or a vendor that cannot be reached ends the search.
        """
        unsafe = [_unsafe(message) for message in messages]
        clear = [index for index, code in enumerate(unsafe) if not code]
        results = {index: self.refusal(code) for index, code in enumerate(unsafe) if code}
        parts = [clear] if clear else []
        while parts:
            answers = self.map(lambda part: self._submit([messages[index] for index in part], reference), parts)
            verdict = next((answer for answer in answers if self._concerns_everybody(answer)), None)
            halves: list[list[int]] = []
            for part, answer in zip(parts, answers, strict=True):
                if not self._is_worth_cutting(answer, [messages[index] for index in part]):
                    results.update(dict.fromkeys(part, answer))
                elif verdict is not None:
                    results.update(dict.fromkeys(part, verdict))
                else:
                    halves += [part[: len(part) // 2], part[len(part) // 2 :]]
            parts = halves
        return [self._with_segments(results[index], message) for index, message in enumerate(messages)]

    def _submit(self, messages: Sequence[OutgoingMessage], reference: str) -> Result:
        """One request for all of these messages."""
        if len({template_and_region(message) for message in messages}) > 1:
            raise ValueError("A group has one template code, and numbers on the mainland or elsewhere; see batches().")
        numbers = [_wire_number(message.phone_number) for message in messages]
        if have_equal_params(messages):
            params = dict(messages[0].params)
            result, body = self._ask(
                "send_sms",
                messages,
                phone_numbers=",".join(numbers),
                sign_name=self.configuration.verify_sign,
                template_code=messages[0].template_code,
                template_param=json.dumps(params) if params else None,
                out_id=reference,
            )
        else:
            result, body = self._ask(
                "send_batch_sms",
                messages,
                phone_number_json=json.dumps(numbers),
                sign_name_json=json.dumps([self.configuration.verify_sign] * len(messages)),
                template_code=messages[0].template_code,
                template_param_json=json.dumps([dict(message.params) for message in messages]),
                out_id=reference,
            )
        return replace(result, message_id=body.biz_id or "") if body else result

    def _is_worth_cutting(self, answer: Result, messages: Sequence[OutgoingMessage]) -> bool:
        entry = self.errors.get(answer.code)
        if answer.outcome != Outcome.REFUSED or len(messages) == 1 or entry is None or not entry.single:
            return False
        return answer.code not in VARIABLE_ERRORS or not have_equal_params(messages)

    def _concerns_everybody(self, answer: Result) -> bool:
        if answer.outcome == Outcome.NOT_SENT:
            return True
        entry = self.errors.get(answer.code)
        return answer.outcome == Outcome.REFUSED and entry is not None and not entry.single

    def _with_segments(self, result: Result, message: OutgoingMessage) -> Result:
        if result.outcome != Outcome.ACCEPTED or not message.text:
            return result
        return replace(result, segments=self.count_segments(message.text, message.phone_number).segments)

    # Asking

    def verify(self) -> Verification:
        """Look for the signature among the account's (QuerySmsSignList).

        Sends nothing, and needs the permission ``dysms:QuerySmsSignList`` (in AliyunDysmsReadOnlyAccess and
        AliyunDysmsFullAccess), without which the answer says that the AccessKey works and what to grant.
        """
        signatures, result = self._list("query_sms_sign_list", "sms_sign_list", MAX_PAGES)
        if result.outcome != Outcome.ACCEPTED and result.code not in _LIST_ADVICE:
            return self._not_verified(result)
        ours = [signature for signature in signatures if signature.sign_name == self.configuration.verify_sign]
        if ours:
            # One name may be listed twice, as a signature for codes and as a general one: one will do.
            best = next((signature for signature in ours if signature.audit_status == _APPROVED), ours[0])
            return self._verified(best.audit_status or "", reason_of(best))
        # That test signatures are listed is not documented, and there may be more than were read: a missing one is
        # no proof then.
        return self._verified(_MISSING if signatures and result.code not in _LIST_ADVICE else _NOT_LISTED)

    def _verified(self, state: str, reason: str = "") -> Verification:
        code = "isv.SMS_SIGNATURE_ILLEGAL"
        ok = state in (_APPROVED, _NOT_LISTED)
        return Verification(
            ok=ok,
            error_kind=None if ok else ErrorKind.TEMPLATE,
            code="" if ok else code,
            detail=reason,
            advice="" if ok else _WAIT_FOR_REVIEW if state == _UNDER_REVIEW else self.advice_for(code),
            details=((_("Signature"), str(_AUDIT_STATES.get(state, state))),),
            signature_status=STATUSES.get(state, ""),
        )

    def _not_verified(self, result: Result) -> Verification:
        advice = self.advice_for(result.code, result.error_kind or "")
        if result.code in _NO_PERMISSION:
            advice = _GRANT_QUERY
        return Verification(False, result.error_kind, result.code, result.detail, advice)

    def registered_templates(self) -> list[RegisteredTemplate]:
        """All templates of the account (QuerySmsTemplateList), ready-made and test ones included.

        Needs the permission ``dysms:QuerySmsTemplateList`` (in AliyunDysmsReadOnlyAccess and AliyunDysmsFullAccess).
        """
        rows, result = self._list("query_sms_template_list", "sms_template_list", MAX_TEMPLATE_PAGES)
        if result.outcome != Outcome.ACCEPTED:
            raise self._listing_failed(result)
        try:
            return list({template.code: template for template in map(template_of, rows)}.values())
        except (AttributeError, KeyError, TypeError, ValueError):
            raise ListingFailed(
                gettext("Alibaba Cloud's list holds a template that was not understood. Update this software.")
            ) from None

    def _list(self, operation: str, attribute: str, pages: int) -> tuple[list[Any], Result]:
        """The rows of all pages; they are whole only if the result is accepted.

        A page that is not full is the last one. Where ``TotalCount`` counts more than one page, it must stay the same
        from page to page: otherwise something was added or deleted meanwhile, and a row may have been overlooked.
        """
        rows: list[Any] = []
        totals: set[int] = set()
        for page in range(1, pages + 1):
            result, body = self._ask(operation, page_index=page, page_size=PAGE_SIZE)
            if body is None:
                return rows, result
            found = getattr(body, attribute) or []
            rows += found
            totals.add(body.total_count if isinstance(body.total_count, int) else -1)
            if len(found) < PAGE_SIZE:
                most = max(totals)
                whole = most <= len(rows) and (most <= PAGE_SIZE or len(totals) == 1) and (rows or most == 0)
                return rows, result if whole else Result(Outcome.UNCERTAIN, ErrorKind.TRANSIENT, _NOT_WHOLE)
        return rows, Result(Outcome.UNCERTAIN, ErrorKind.UNKNOWN, _TOO_MANY)

    def _listing_failed(self, result: Result) -> ListingFailed:
        advice = _GRANT_LISTS if result.code in _NO_PERMISSION else _LIST_ADVICE.get(result.code)
        advice = advice or self.advice_for(result.code, result.error_kind or "")
        failed = gettext("Alibaba Cloud did not list its templates (%s).") % result.code
        words = result.detail if result.detail != result.code else ""
        return ListingFailed(" ".join(str(part) for part in (failed, words, advice) if part))

    def records(self, phone_number: str, since: datetime, until: datetime, reference: str) -> list[Record]:
        """What became of the messages to one number that went out under this reference (QuerySendDetails).

        Needs the permission ``dysms:QuerySendDetails``.
        """
        now = datetime.now(CHINA_TIME)
        if now - since > RECORDS_KEPT:
            raise LookUpFailed("Alibaba Cloud keeps records for 30 days; this message is older.")
        first, last = since.astimezone(CHINA_TIME).date(), min(until, now).astimezone(CHINA_TIME).date()
        days = [first + timedelta(days=number) for number in range(max((last - first).days, 0) + 1)]
        details = [detail for day in days for detail in self._details(phone_number, day)]
        found = [self._record(detail) for detail in details if detail.out_id == reference]
        return sorted(found, key=lambda record: record.sent_at or since)

    def _details(self, phone_number: str, day: date) -> list[Any]:
        """The vendor's rows for a number and a day (UTC+8), from all pages.

        Raises:
            LookUpFailed: a page was refused, was not understood, or is missing.
        """
        details: list[Any] = []
        for page in range(1, MAX_PAGES + 1):
            result, body = self._ask(
                "query_send_details",
                phone_number=_wire_number(phone_number),
                send_date=day.strftime("%Y%m%d"),
                page_size=PAGE_SIZE,
                current_page=page,
            )
            if body is None:
                raise LookUpFailed(f"Alibaba Cloud did not tell what became of a message ({result.code}).")
            try:
                total = int(body.total_count)
                rows = list(body.sms_send_detail_dtos.sms_send_detail_dto) if total else []
            except (AttributeError, TypeError, ValueError):
                raise LookUpFailed("Alibaba Cloud's answer about a message was not understood.") from None
            details += rows
            if len(details) >= total:
                return details
            if not rows:
                break
        raise LookUpFailed("Alibaba Cloud's answer about a message was incomplete.")

    def _record(self, detail: Any) -> Record:
        status = _SEND_STATUSES.get(str(detail.send_status))
        if status is None:
            raise LookUpFailed("Alibaba Cloud gave a message a status that is not known.")
        code = (detail.err_code or "")[:64] if status == MessageStatus.UNDELIVERED else ""
        kind = self.errors[code].kind if code in self.errors else ErrorKind.UNKNOWN
        return Record(
            status=status,
            sent_at=_china_time(detail.send_date),
            reference=detail.out_id,
            code=code,
            error_kind=kind if status == MessageStatus.UNDELIVERED else None,
        )

    # What can be said beforehand

    def problem_with(self, message: OutgoingMessage) -> str | None:
        """Why the vendor would never take this message.

        Limits of variables are the mainland's (Alibaba Cloud SMS, "TemplateRule and TemplateContent"); none are
        documented for numbers elsewhere.
        """
        if not message.template_code:
            return str(_("Enter the template's code for this service; the console shows it (SMS_123456789)."))
        if re.search(r"[【】\[\]]", self.configuration.verify_sign):
            return str(_("Enter the service's signature without brackets; Alibaba Cloud puts them around it."))
        if message.template_kind in _FOR_MAINLAND_ONLY and not is_mainland_china(message.phone_number):
            return str(_WRONG_REGION)
        if code := _unsafe(message):
            return str(self.advice_for(code))
        if message.text:
            signed = self._signed(message.text, message.phone_number)
            if too_long := super().problem_with(replace(message, text=signed)):
                return too_long
        if is_mainland_china(message.phone_number):
            for name, value in message.params.items():
                if problem := _problem_with_value(message, name, value):
                    return str(problem) % {"name": name}
        return None

    def count_segments(self, text: str, phone_number: str = "") -> SegmentCount:
        """Count a text as the vendor charges for it, with the signature that it puts in front.

        Mainland China: 70 characters, or 67 in each part, never GSM-7. Elsewhere GSM-7 or UCS-2; the signature's
        brackets are [] (two septets each) around one without Chinese characters, else 【】 (Alibaba Cloud SMS,
        "SMS sending rules"). Without a number: as for the mainland.
        """
        mainland = not phone_number or is_mainland_china(phone_number)
        return count_segments(self._signed(text, phone_number), always_ucs_2=mainland)

    def _signed(self, text: str, phone_number: str) -> str:
        signature = self.configuration.verify_sign
        abroad = phone_number and not is_mainland_china(phone_number)
        if abroad and all(character in GSM_BASIC or character in GSM_EXTENDED for character in signature):
            return f"[{signature}]{text}"
        return f"【{signature}】{text}"

    # Calling the SDK

    @property
    def _endpoint_url(self) -> str:
        return self.configuration.endpoint_url or DEFAULT_ENDPOINT_URL

    def _ask(self, operation: str, messages: Sequence[OutgoingMessage] = (), **fields: Any) -> tuple[Result, Any]:
        """Call an operation by the SDK's name for it: the result, and the answer's body if the vendor said OK."""
        # Outside the attempt: a missing SDK or key, or an SDK that changed inside, is no uncertain answer.
        client = self.client
        prepare_session(self._endpoint_url, client._max_idle_conns)
        bodies: list[Any] = []

        def call() -> Any:
            from alibabacloud_dysmsapi20170525 import models

            request = getattr(models, operation.title().replace("_", "") + "Request")
            return getattr(client, operation)(request(**fields))

        def read(response: Any) -> Result:
            bodies.append(response.body)
            return self._read_body(response.body)

        result = self.attempt(call, read, messages)
        return result, bodies[0] if result.outcome == Outcome.ACCEPTED else None

    def _read_body(self, body: Any) -> Result:
        """The answer to a request that HTTP calls successful; business errors come so too."""
        code, request_id = getattr(body, "code", None), getattr(body, "request_id", None) or ""
        if not code:
            return Result(Outcome.UNCERTAIN, ErrorKind.TRANSIENT, code="NoCode", request_id=request_id)
        if code == "OK":
            return Result(Outcome.ACCEPTED, request_id=request_id)
        return self.refusal(str(code), _without_echo(body.message), request_id)

    def read_error(self, error: Exception) -> Result:
        """What an exception of the SDK means.

        With a status it is an answer. Otherwise it is an ``UnretryableException`` around what went wrong; what
        `requests` raised is the context of the SDK's own ``RetryError``. Their texts hold the URL, with numbers and
        variables: only types are looked at.
        """
        if hasattr(error, "status_code"):
            return self._read_error_answer(error)
        cause = getattr(error, "inner_exception", error)
        cause = cause.__context__ or cause
        if _is_unsendable(cause):
            return self.refusal("InvalidHeader")
        outcome = Outcome.NOT_SENT if never_connected(_reason(cause)) else Outcome.UNCERTAIN
        return Result(outcome, ErrorKind.TRANSIENT, code=type(_reason(cause) or cause).__name__)

    def _read_error_answer(self, error: Any) -> Result:
        """An answer with HTTP 4xx (refused) or 5xx (uncertain, unless flow control denied the request)."""
        status: int | None = error.status_code
        answer = error.data if isinstance(error.data, dict) else {}
        code = str(answer.get("Code") or answer.get("code") or (f"HTTP {status}" if status else error.code))
        detail = _without_echo(answer.get("Message") or answer.get("message"))
        request_id = str(answer.get("RequestId") or answer.get("requestId") or "")
        # ``x-acs-retry-after`` counts milliseconds, as the SDK's own back-off reads it.
        retry_after = error.retry_after / 1000 if error.retry_after else None
        if status is not None and status >= 500 and not code.startswith("Throttling"):
            return Result(Outcome.UNCERTAIN, ErrorKind.TRANSIENT, code, detail, request_id)
        if code not in self.errors and (status == 429 or retry_after):
            return Result(Outcome.NOT_SENT, ErrorKind.THROTTLED, code, detail, request_id, retry_after=retry_after)
        return self.refusal(code, detail, request_id, retry_after)

    def refusal(self, code: str, detail: str = "", request_id: str = "", retry_after: float | None = None) -> Result:
        if code not in self.errors and code.startswith("Throttling"):
            return Result(Outcome.NOT_SENT, ErrorKind.THROTTLED, code, detail, request_id, retry_after=retry_after)
        return super().refusal(code, detail, request_id, retry_after)


_SEND_STATUSES = {
    "1": MessageStatus.SENT,  # no receipt yet
    "2": MessageStatus.UNDELIVERED,
    "3": MessageStatus.DELIVERED,
}
_APPROVED, _UNDER_REVIEW = "AUDIT_STATE_PASS", "AUDIT_STATE_INIT"
_MISSING, _NOT_LISTED = "MISSING", "NOT_LISTED"
_AUDIT_STATES: Mapping[str, str | Promise] = {
    _APPROVED: _("approved"),
    _UNDER_REVIEW: _("under review"),
    "AUDIT_STATE_NOT_PASS": _("rejected"),
    "AUDIT_STATE_CANCEL": _("review cancelled"),
    _MISSING: _("missing in this account"),
    _NOT_LISTED: _("not among those that Alibaba Cloud lists; look for it in the console"),
}
_WAIT_FOR_REVIEW = _("The signature is being reviewed. Wait for its approval, which takes about two hours.")
_NO_PERMISSION = {"Forbidden", "Forbidden.RAM", "NoPermission", "isp.RAM_PERMISSION_DENY", "isv.RAM_CHECK_FAILED"}
_GRANT_QUERY = _(
    "The AccessKey works but may not list signatures, so sending could not be verified. Grant its RAM user the "
    "policy AliyunDysmsFullAccess, or at least dysms:QuerySmsSignList."
)
_GRANT_LISTS = _(
    "The AccessKey works but may not list templates. Grant its RAM user the policy "
    "AliyunDysmsFullAccess, or at least dysms:QuerySmsTemplateList."
)
_TOO_MANY, _NOT_WHOLE = "TooMany", "NotWhole"
_LIST_ADVICE: Mapping[str, str | Promise] = {
    _TOO_MANY: _("There are more than can be read. Delete in the console what is not used any more."),
    _NOT_WHOLE: _("The answer was not whole, or something was changed there meanwhile. Try again."),
}


# Messages


def _wire_number(phone_number: str) -> str:
    """Eleven digits on the mainland (QuerySendDetails takes nothing else), elsewhere country code and number."""
    return phone_number.removeprefix("+86") if is_mainland_china(phone_number) else phone_number.removeprefix("+")


def _unsafe(message: OutgoingMessage) -> str:
    """The code with which a message is refused because a stranger might get it; empty if none would.

    +1 312 555 0100 goes out as 13125550100, as +86 131 2555 0100 does. With a domestic template, the vendor takes it
    for the latter: a stranger would get the text, and could prove with its code that the other number is theirs.
    An international template is the other way round. It refuses numbers with 86 in front ("API error codes",
    isv.DOMESTIC_NUMBER_NOT_SUPPORTED), and what has none in front is read as a country code and a number.
    """
    if message.template_kind == TemplateKind.INTERNATIONAL:
        return "isv.DOMESTIC_NUMBER_NOT_SUPPORTED" if is_mainland_china(message.phone_number) else ""
    return "AmbiguousNumber" if _LIKE_MAINLAND.fullmatch(message.phone_number) else ""


_LIKE_MAINLAND = re.compile(r"\+1[3-9]\d{9}")
#: "You cannot use templates for domestic SMS and international SMS interchangeably" (SendBatchSms, TemplateCode).
_FOR_MAINLAND_ONLY = {TemplateKind.OTP, TemplateKind.NOTIFICATION, TemplateKind.MARKETING}
_WRONG_REGION = _("This template is for numbers in mainland China. Apply for an international one for numbers abroad.")


_LINK = re.compile(r"https?://|\bwww\.", re.IGNORECASE)
_CODE = re.compile(r"[0-9A-Za-z]{4,6}")


def _problem_with_value(message: OutgoingMessage, name: str, value: str) -> str | Promise | None:
    if _LINK.search(value):
        return _("The value of “%(name)s” holds a link. Put links into the template's own text.")
    if message.purpose == Purpose.OTP:
        # Ready-made templates may have a second variable, which has other rules.
        is_code = name == "code" or len(message.params) == 1
        return _NO_CODE if is_code and not _CODE.fullmatch(value) else None
    if not 1 <= len(value) <= 35:
        return _("The value of “%(name)s” must have 1 to 35 characters.")
    return None


_NO_CODE = _("The value of “%(name)s” must be 4 to 6 digits or letters, as in every one-time code.")


# Answers


#: The answer to a wrong signature repeats the request, encoded once or twice: number, variables and all. Whatever
#: is encoded goes, with all that follows: it would not be recognised as a message's own.
_ECHO = re.compile(
    r"(server )?string ?to ?sign.*|canonical ?request.*|\S*(%[0-9A-F]{2}|\\u[0-9A-F]{4}).*", re.IGNORECASE | re.DOTALL
)


def _without_echo(message: object) -> str:
    return _ECHO.sub("", str(message or "")).strip()


def _china_time(written: str | None) -> datetime | None:
    try:
        return datetime.strptime(written or "", "%Y-%m-%d %H:%M:%S").replace(tzinfo=CHINA_TIME)
    except ValueError:
        return None


def _is_unsendable(error: BaseException) -> bool:
    """Whether the request could not be written down: an AccessKey with characters that no HTTP header has."""
    from requests.exceptions import InvalidHeader

    return isinstance(error, InvalidHeader | UnicodeEncodeError)


def _reason(error: BaseException) -> BaseException | None:
    """What made urllib3 give up, inside the exception that `requests` made of it."""
    return getattr(error.args[0] if error.args else None, "reason", None)
