"""Alibaba Cloud's lists of templates and signatures: what their fields and codes mean.

Sources: Alibaba Cloud SMS, "QuerySmsTemplateList" and "QuerySmsSignList", and the SDK's models of their answers.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from ..choices import TemplateKind, TemplateStatus
from .base import RegisteredTemplate

CHINA_TIME = timezone(timedelta(hours=8))

#: ``AUDIT_SATE_CANCEL`` is spelt so in the list of templates, ``AUDIT_STATE_CANCEL`` in that of signatures.
STATUSES: Mapping[str, TemplateStatus] = {
    "AUDIT_STATE_INIT": TemplateStatus.PENDING,
    "AUDIT_STATE_PASS": TemplateStatus.APPROVED,
    "AUDIT_STATE_NOT_PASS": TemplateStatus.REJECTED,
    "AUDIT_STATE_CANCEL": TemplateStatus.CANCELLED,
    "AUDIT_SATE_CANCEL": TemplateStatus.CANCELLED,
}
#: ``OuterTemplateType``, the type that the other operations use too. 7, in older documentation, is a digital
#: message, which SendSms does not send.
KINDS: Mapping[int, TemplateKind] = {
    0: TemplateKind.OTP,
    1: TemplateKind.NOTIFICATION,
    2: TemplateKind.MARKETING,
    3: TemplateKind.INTERNATIONAL,
}
#: ``TemplateType``, the same in other numbers, for an answer without the former.
INNER_KINDS: Mapping[int, TemplateKind] = {
    0: TemplateKind.NOTIFICATION,
    1: TemplateKind.MARKETING,
    2: TemplateKind.OTP,
    6: TemplateKind.INTERNATIONAL,
}


def template_of(row: Any) -> RegisteredTemplate:
    """A row of QuerySmsTemplateList. Raises what a row without its fields makes it raise."""
    outer = row.outer_template_type
    return RegisteredTemplate(
        code=_text(row.template_code),
        name=row.template_name or row.template_code,
        text=_text(row.template_content),
        kind=INNER_KINDS.get(int(row.template_type)) if outer is None else KINDS.get(int(outer)),
        status=STATUSES[row.audit_status],
        reason=reason_of(row),
        created_at=_time(row.create_date),
    )


def reason_of(row: Any) -> str:
    """Why a template or signature is not approved. Of others the platform says that there are no remarks."""
    if row.reason is None or STATUSES.get(row.audit_status) not in {TemplateStatus.REJECTED, TemplateStatus.CANCELLED}:
        return ""
    parts = (row.reason.reject_info, row.reason.reject_sub_info)
    return " ".join(dict.fromkeys(part.strip() for part in parts if part and part.strip()))


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError
    return value


def _time(written: str | None) -> datetime | None:
    try:
        return datetime.strptime(written or "", "%Y-%m-%d %H:%M:%S").replace(tzinfo=CHINA_TIME)
    except ValueError:
        return None
