"""Alibaba Cloud Short Message Service, API version 2017-05-25 (Dysmsapi)."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, NamedTuple

from .base import RefusedError, Simulator, form_parameters, json_reply
from .http_server import HttpReply, HttpRequest
from .records import Accepted, Request
from .signatures import acs3_signature, authorization_fields

VERSION = "2017-05-25"
CHINA_TIME = timezone(timedelta(hours=8))
CLOCK_SKEW = timedelta(minutes=15)

WAITING, FAILED, DELIVERED = 1, 2, 3
"""`SendStatus` of QuerySendDetails."""
APPROVED = "AUDIT_STATE_PASS"
PLACEHOLDER = re.compile(r"\$\{(\w+)\}")

# The gateway's own errors have an HTTP status ("Common error codes"). Every other code, those of the SMS
# service, comes with HTTP 200 and has to be read from the body ("API error codes").
GATEWAY_STATUSES = {
    "IncompleteSignature": 400,
    "SignatureDoesNotMatch": 400,
    "SignatureNonceUsed": 400,
    "InvalidTimeStamp.Expired": 400,
    "InvalidVersion": 400,
    "InvalidAccessKeyId.NotFound": 404,
    "InvalidAccessKeyId.Inactive": 403,
    "InvalidAction.NotFound": 404,
    "Forbidden.RAM": 403,
    "Throttling": 400,
    "Throttling.Api": 400,
    "Throttling.User": 400,
    "InternalError": 500,
    "ServiceUnavailable": 503,
}
MESSAGES = {
    "OK": "OK",
    "IncompleteSignature": "The request signature does not conform to Alibaba Cloud standards.",
    "SignatureDoesNotMatch": "Specified signature does not match our calculation.",
    "SignatureNonceUsed": "Specified signature nonce was used already.",
    "InvalidTimeStamp.Expired": "Specified time stamp or date value is expired.",
    "InvalidVersion": "Specified parameter Version is not valid.",
    "InvalidAccessKeyId.NotFound": "Specified access key is not found.",
    "InvalidAccessKeyId.Inactive": "Specified access key is disabled.",
    "InvalidAction.NotFound": "Specified api is not found, please check your url and method.",
    "Throttling.User": "Request was denied due to user flow control.",
    "InternalError": "The request processing has failed due to some unknown error, exception or failure.",
    "ServiceUnavailable": "The request has failed due to a temporary failure of the server.",
    "isv.AMOUNT_NOT_ENOUGH": "账户余额不足",
    "isv.BUSINESS_LIMIT_CONTROL": "触发分钟级流控Permits:1",
    "isv.INVALID_JSON_PARAM": "JSON参数不合法，只接受字符串值",
    "isv.INVALID_PARAMETERS": "参数异常",
    "isv.MOBILE_COUNT_OVER_LIMIT": "手机号码数量超过限制",
    "isv.MOBILE_NUMBER_ILLEGAL": "非法手机号",
    "isv.SMS_SIGNATURE_ILLEGAL": "短信签名不合法",
    "isv.SMS_TEMPLATE_ILLEGAL": "短信模板不合法",
    "isv.TEMPLATE_MISSING_PARAMETERS": "模板缺少变量",
}

# SendSms, parameter PhoneNumbers: mainland numbers with or without +, +86, 0086 or 86; all others as country
# code and number, without a plus. Eleven digits that could be both are a mainland number.
MAINLAND = re.compile(r"(?:\+86|0086|86|\+)?(1[3-9][0-9]{9})")
INTERNATIONAL = re.compile(r"(?!86)[1-9][0-9]{6,14}")

# "Template for Hong Kong, Macao, Taiwan and abroad does not support mainland numbers with 86 in front" ("API error
# codes", isv.DOMESTIC_NUMBER_NOT_SUPPORTED). Whatever else comes is a country code and a number.
DOMESTIC = re.compile(r"(?:\+86|0086|86)1[3-9][0-9]{9}")


def e164(number: str) -> str | None:
    """The E.164 form of a number in Alibaba Cloud's notation; None for an illegal one."""
    if mainland := MAINLAND.fullmatch(number):
        return f"+86{mainland[1]}"
    return f"+{number}" if INTERNATIONAL.fullmatch(number) else None


def national(phone_number: str) -> str:
    """A number as the answers of QuerySendDetails have it."""
    return phone_number.removeprefix("+86").removeprefix("+")


@dataclass(frozen=True, slots=True)
class Template:
    """A template of the account (QuerySmsTemplateList); `content` has `${variable}` placeholders."""

    code: str
    content: str
    name: str = "短信模板"
    audit_status: str = APPROVED
    template_type: int = 2
    """0 notification, 1 promotion, 2 verification code, 6 international."""
    outer_template_type: int = 0
    """0 verification code, 1 notification, 2 promotion, 3 international."""
    created_at: str = "2026-01-05 10:00:00"
    reject_reason: str = ""

    def as_dto(self) -> dict[str, Any]:
        return {
            "TemplateCode": self.code,
            "TemplateName": self.name,
            "TemplateContent": self.content,
            "TemplateType": self.template_type,
            "OuterTemplateType": self.outer_template_type,
            "AuditStatus": self.audit_status,
            "CreateDate": self.created_at,
            "OrderId": "10000000001",
            "Reason": {"RejectInfo": self.reject_reason},
        }


@dataclass(frozen=True, slots=True)
class Sign:
    """A signature of the account (QuerySmsSignList)."""

    name: str
    audit_status: str = APPROVED
    business_type: str = "通用类型"
    created_at: str = "2026-01-05 10:00:00"
    reject_reason: str = ""

    def as_dto(self) -> dict[str, Any]:
        return {
            "SignName": self.name,
            "AuditStatus": self.audit_status,
            "BusinessType": self.business_type,
            "CreateDate": self.created_at,
            "OrderId": "10000000002",
            "Reason": {"RejectInfo": self.reject_reason},
        }


class Text(NamedTuple):
    """One message of a request, before it is accepted."""

    number: str
    signature: str
    params: dict[str, str]
    extend_code: str = ""


class AlibabaCloudSimulator(Simulator):
    """SendSms, SendBatchSms, QuerySendDetails, QuerySmsTemplateList and QuerySmsSignList.

    `templates` and `signs` may be set. While a list is empty every code, or name, is taken as approved;
    otherwise only the approved ones are, and the journal's `text` is the rendered content.
    `set_status(number, WAITING | FAILED | DELIVERED, error_code=...)` decides what QuerySendDetails answers
    (default: waiting).
    """

    sends = frozenset({"SendSms", "SendBatchSms"})
    throttled = "Throttling.User"
    server_error = "InternalError"
    unavailable = "ServiceUnavailable"

    def __init__(
        self,
        *,
        access_key: str = "LTAI5tSimulatedAccessKey",
        access_secret: str = "simulated-access-secret-alibaba",
        verify_sign: str = "示例公司",
        port: int = 0,
        latency: float = 0.0,
        keep_requests: bool = True,
    ) -> None:
        credentials = {"access_key": access_key, "access_secret": access_secret, "verify_sign": verify_sign}
        self.templates: list[Template] = []
        self.signs: list[Sign] = []
        super().__init__(credentials=credentials, port=port, latency=latency, keep_requests=keep_requests)

    def clear(self) -> None:
        super().clear()
        self._nonces: set[str] = set()

    # Reading

    def read(self, http: HttpRequest) -> tuple[str, dict[str, str]]:
        parameters = form_parameters(http.query)
        if http.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            parameters |= form_parameters(http.body)
        return http.headers.get("x-acs-action", ""), parameters

    def authenticate(self, http: HttpRequest) -> None:
        """As "V3 request structure and signature" has it: all common headers signed, 15 minutes, one use."""
        fields = authorization_fields(http, "ACS3-HMAC-SHA256")
        if fields is None:
            raise RefusedError("IncompleteSignature")
        if fields["Credential"] != self.credentials["access_key"]:
            raise RefusedError("InvalidAccessKeyId.NotFound")
        must_be_signed = {name for name in http.headers if name.startswith("x-acs-") or name == "content-type"}
        if not {"host", "x-acs-date", "x-acs-signature-nonce", *must_be_signed} <= set(
            fields["SignedHeaders"].split(";")
        ):
            raise RefusedError("IncompleteSignature")
        payload = hashlib.sha256(http.body).hexdigest()
        expected = acs3_signature(
            http, signed_headers=fields["SignedHeaders"], secret=self.credentials["access_secret"]
        )
        if http.headers.get("x-acs-content-sha256") != payload or not hmac.compare_digest(
            fields["Signature"].encode(), expected.encode()
        ):
            raise RefusedError("SignatureDoesNotMatch")
        self._check_freshness(http)

    def _check_freshness(self, http: HttpRequest) -> None:
        try:
            signed_at = datetime.strptime(http.headers["x-acs-date"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        except ValueError:
            raise RefusedError("InvalidTimeStamp.Expired") from None
        if abs(datetime.now(UTC) - signed_at) > CLOCK_SKEW:
            raise RefusedError("InvalidTimeStamp.Expired")
        nonce = http.headers["x-acs-signature-nonce"]
        if nonce in self._nonces:
            raise RefusedError("SignatureNonceUsed")
        self._nonces.add(nonce)

    def numbers(self, request: Request) -> list[str]:
        parameters = request.parameters
        if request.action == "SendBatchSms":
            try:
                raw: Iterable[Any] = json.loads(parameters.get("PhoneNumberJson", "[]"))
            except ValueError:
                raw = []
        else:
            raw = (parameters.get("PhoneNumbers") or parameters.get("PhoneNumber") or "").split(",")
        return [number for item in raw if (number := e164(str(item)))]

    # Doing

    def perform(self, request: Request) -> HttpReply:
        if request.headers.get("x-acs-version") != VERSION:
            raise RefusedError("InvalidVersion")
        actions: dict[str, Callable[[dict[str, str]], dict[str, Any]]] = {
            "SendSms": self._send_sms,
            "SendBatchSms": self._send_batch_sms,
            "QuerySendDetails": self._query_send_details,
            "QuerySmsTemplateList": self._query_sms_template_list,
            "QuerySmsSignList": self._query_sms_sign_list,
        }
        if request.action not in actions:
            raise RefusedError("InvalidAction.NotFound")
        answer = actions[request.action](request.parameters)
        return json_reply({"RequestId": request_id(), "Code": "OK", "Message": "OK", **answer})

    def _send_sms(self, parameters: dict[str, str]) -> dict[str, Any]:
        require(parameters, "PhoneNumbers", "SignName", "TemplateCode")
        numbers = parameters["PhoneNumbers"].split(",")
        if len(numbers) > 1000:
            raise RefusedError("isv.MOBILE_COUNT_OVER_LIMIT")
        params = template_params(parse_json(parameters.get("TemplateParam") or "{}"))
        signature, extend_code = parameters["SignName"], parameters.get("SmsUpExtendCode", "")
        texts = [Text(number, signature, params, extend_code) for number in numbers]
        return self._accept(texts, parameters)

    def _send_batch_sms(self, parameters: dict[str, str]) -> dict[str, Any]:
        require(parameters, "PhoneNumberJson", "SignNameJson", "TemplateCode")
        numbers = json_array(parameters["PhoneNumberJson"])
        if len(numbers) > 100:
            raise RefusedError("isv.MOBILE_COUNT_OVER_LIMIT")
        signatures = json_array(parameters["SignNameJson"])
        params = json_array(parameters.get("TemplateParamJson") or json.dumps([{}] * len(numbers)))
        extend_codes = json_array(parameters.get("SmsUpExtendCodeJson") or json.dumps([""] * len(numbers)))
        if not numbers or not len(numbers) == len(signatures) == len(params) == len(extend_codes):
            raise RefusedError("isv.INVALID_PARAMETERS")
        texts = [
            Text(str(number), str(signature), template_params(values), str(extend_code))
            for number, signature, values, extend_code in zip(numbers, signatures, params, extend_codes, strict=True)
        ]
        return self._accept(texts, parameters)

    def _accept(self, texts: Sequence[Text], parameters: dict[str, str]) -> dict[str, Any]:
        """Take all messages of a request under one BizId, or none of them."""
        template_code = parameters["TemplateCode"]
        international = any(t.code == template_code and t.outer_template_type == 3 for t in self.templates)
        if international and any(DOMESTIC.fullmatch(text.number) for text in texts):
            raise RefusedError("isv.DOMESTIC_NUMBER_NOT_SUPPORTED")
        phone_numbers = [f"+{text.number}" if international else e164(text.number) for text in texts]
        if None in phone_numbers:
            raise RefusedError("isv.MOBILE_NUMBER_ILLEGAL")
        for signature in {text.signature for text in texts}:
            self._check_signature(signature)
        contents = [self._render(template_code, text.params) for text in texts]
        biz_id = f"{secrets.randbelow(9 * 10**17) + 10**17}^0"
        received_at = datetime.now(UTC).timestamp()
        for text, phone_number, content in zip(texts, phone_numbers, contents, strict=True):
            self._journal.add(
                Accepted(
                    phone_number=str(phone_number),
                    message_id=biz_id,
                    received_at=received_at,
                    text=content,
                    template_code=template_code,
                    signature=text.signature,
                    params=text.params,
                    reference=parameters.get("OutId", ""),
                    attributes={"SmsUpExtendCode": text.extend_code} if text.extend_code else {},
                )
            )
        return {"BizId": biz_id}

    def _render(self, template_code: str, params: dict[str, str]) -> str:
        """The content of an approved template; empty while no templates are set."""
        if not self.templates:
            return ""
        for template in self.templates:
            if template.code == template_code and template.audit_status == APPROVED:
                try:
                    return PLACEHOLDER.sub(lambda found: params[found[1]], template.content)
                except KeyError:
                    raise RefusedError("isv.TEMPLATE_MISSING_PARAMETERS") from None
        raise RefusedError("isv.SMS_TEMPLATE_ILLEGAL")

    def _check_signature(self, signature: str) -> None:
        if self.signs and signature not in {s.name for s in self.signs if s.audit_status == APPROVED}:
            raise RefusedError("isv.SMS_SIGNATURE_ILLEGAL")

    def _query_send_details(self, parameters: dict[str, str]) -> dict[str, Any]:
        require(parameters, "PhoneNumber", "SendDate", "PageSize", "CurrentPage")
        phone_number = e164(parameters["PhoneNumber"])
        if phone_number is None:
            raise RefusedError("isv.MOBILE_NUMBER_ILLEGAL")
        try:
            day = datetime.strptime(parameters["SendDate"] + "+0800", "%Y%m%d%z").date()
        except ValueError:
            raise RefusedError("isv.INVALID_PARAMETERS") from None
        biz_id = parameters.get("BizId")
        found = [
            message
            for message in reversed(self._journal.by_number.get(phone_number, []))
            if china_time(message).date() == day and biz_id in (None, "", message.message_id)
        ]
        page, _, _ = page_of(found, parameters, "CurrentPage")
        return {
            "TotalCount": str(len(found)),
            "SmsSendDetailDTOs": {"SmsSendDetailDTO": [self._send_detail(message) for message in page]},
        }

    def _send_detail(self, message: Accepted) -> dict[str, Any]:
        status, error_code = self._journal.status(message, WAITING)
        sent_at = f"{china_time(message):%Y-%m-%d %H:%M:%S}"
        detail = {
            "PhoneNum": national(message.phone_number),
            "SendStatus": status,
            "SendDate": sent_at,
            "TemplateCode": message.template_code,
            "Content": f"【{message.signature}】{message.text}",
            "OutId": message.reference,
        }
        if status != WAITING:
            detail["ReceiveDate"] = sent_at
            detail["ErrCode"] = error_code or ("DELIVERED" if status == DELIVERED else "UNDELIVERABLE")
        return detail

    def _query_sms_template_list(self, parameters: dict[str, str]) -> dict[str, Any]:
        page, index, size = page_of(self.templates, parameters, "PageIndex")
        return {
            "CurrentPage": index,
            "PageSize": size,
            "TotalCount": len(self.templates),
            "SmsTemplateList": [template.as_dto() for template in page],
        }

    def _query_sms_sign_list(self, parameters: dict[str, str]) -> dict[str, Any]:
        page, index, size = page_of(self.signs, parameters, "PageIndex")
        return {
            "CurrentPage": index,
            "PageSize": size,
            "TotalCount": len(self.signs),
            "SmsSignList": [sign.as_dto() for sign in page],
        }

    # Refusing

    def refusal(self, code: str, message: str | None, status: int | None, retry_after: int | None) -> HttpReply:
        status = status or GATEWAY_STATUSES.get(code, 400 if code.startswith("Missing") else 200)
        body = {"RequestId": request_id(), "Code": code, "Message": message or MESSAGES.get(code, code)}
        if status != 200:
            body["HostId"] = "dysmsapi.aliyuncs.com"
            body["Recommend"] = f"https://api.aliyun.com/troubleshoot?q={code}&product=Dysmsapi"
        headers = {} if retry_after is None else {"x-acs-retry-after": str(retry_after)}
        return json_reply(body, status=status, headers=headers)


def request_id() -> str:
    return str(uuid.uuid4()).upper()


def china_time(message: Accepted) -> datetime:
    """Days and times of the API are those of UTC+8."""
    return datetime.fromtimestamp(message.received_at, CHINA_TIME)


def require(parameters: dict[str, str], *names: str) -> None:
    """The gateway's answer to a missing parameter names it in its code."""
    for name in names:
        if not parameters.get(name):
            raise RefusedError(f"Missing{name}", f"{name} is mandatory for this action.")


def parse_json(raw: str) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        raise RefusedError("isv.INVALID_JSON_PARAM") from None


def json_array(raw: str) -> list[Any]:
    parsed = parse_json(raw)
    if not isinstance(parsed, list):
        raise RefusedError("isv.INVALID_JSON_PARAM")
    return parsed


def template_params(parsed: Any) -> dict[str, str]:
    """Variables are a JSON object of strings ("API error codes", isv.INVALID_JSON_PARAM)."""
    if not isinstance(parsed, dict) or not all(isinstance(value, str) for value in parsed.values()):
        raise RefusedError("isv.INVALID_JSON_PARAM")
    return parsed


def page_of(items: Sequence[Any], parameters: dict[str, str], index_name: str) -> tuple[Sequence[Any], int, int]:
    """A page, its index (from 1) and size; sizes are 1 to 50, by default 10."""
    index, size = parameters.get(index_name) or "1", parameters.get("PageSize") or "10"
    if not (index.isdecimal() and size.isdecimal() and int(index) >= 1 and 1 <= int(size) <= 50):
        raise RefusedError("isv.INVALID_PARAMETERS")
    start = (int(index) - 1) * int(size)
    return items[start : start + int(size)], int(index), int(size)
