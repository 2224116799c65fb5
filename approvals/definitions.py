"""Processes as requests keep them: read from the models at submission, stored as JSON, never changed.

What is kept are ids of people, departments, roles, services and templates, and names of functions: who belongs to a
department is looked up when a node is reached.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from .models import Node, Process, Rule


@dataclass(frozen=True, kw_only=True)
class RuleDefinition:
    """See ``models.Rule``."""

    source: str
    user: Any = None
    department: int | None = None
    include_subdepartments: bool = True
    group: int | None = None
    subject_field: str = ""
    resolver: str = ""

    @classmethod
    def of(cls, rule: Rule) -> Self:
        return cls(
            source=rule.source,
            user=json_pk(rule.user_id),
            department=rule.department_id,
            include_subdepartments=rule.include_subdepartments,
            group=rule.group_id,
            subject_field=rule.subject_field,
            resolver=rule.resolver,
        )


@dataclass(frozen=True, kw_only=True)
class NodeDefinition:
    """See ``models.Node``. Durations are seconds."""

    key: str
    title: str
    kind: str
    mode: str
    condition: str
    nobody_found: str
    initiator_policy: str
    repeat_policy: str
    may_return: bool
    may_transfer: bool
    approve_comment: str
    reject_comment: str
    return_comment: str
    transfer_comment: str
    remind_after: float | None
    escalate_after: float | None
    escalate_to: Any
    escalate_resolver: str
    sms_service: int | None
    sms_template: int | None
    rules: tuple[RuleDefinition, ...]

    @classmethod
    def of(cls, node: Node) -> Self:
        plain = {
            field.name: getattr(node, field.name) for field in dataclasses.fields(cls) if field.name not in _OWN_WAY
        }
        return cls(
            **plain,
            remind_after=_seconds(node.remind_after),
            escalate_after=_seconds(node.escalate_after),
            escalate_to=json_pk(node.escalate_to_id),
            sms_service=node.sms_service_id,
            sms_template=node.sms_template_id,
            rules=tuple(RuleDefinition.of(rule) for rule in node.rules.all()),
        )


_OWN_WAY = {"remind_after", "escalate_after", "escalate_to", "sms_service", "sms_template", "rules"}


@dataclass(frozen=True, kw_only=True)
class Definition:
    """See ``models.Process``; ``nodes`` are in their order."""

    key: str
    title: str
    withdraw_policy: str
    remind_interval: float
    nodes: tuple[NodeDefinition, ...]

    @classmethod
    def of(cls, process: Process) -> Self:
        nodes = process.nodes.prefetch_related("rules").order_by("position", "pk")
        return cls(
            key=process.key,
            title=process.title,
            withdraw_policy=process.withdraw_policy,
            remind_interval=process.remind_interval.total_seconds(),
            nodes=tuple(NodeDefinition.of(node) for node in nodes),
        )

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        nodes = tuple(
            NodeDefinition(**{**node, "rules": tuple(RuleDefinition(**rule) for rule in node["rules"])})
            for node in data["nodes"]
        )
        return cls(**{**data, "nodes": nodes})

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @property
    def digest(self) -> str:
        """The same for the same definition."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()

    def position_of(self, node_key: str) -> int | None:
        """Where a node is; ``None`` if there is none with this key."""
        return next((position for position, node in enumerate(self.nodes) if node.key == node_key), None)


def _seconds(duration: timedelta | None) -> float | None:
    return None if duration is None else duration.total_seconds()


def json_pk(pk: Any) -> Any:
    """A user's primary key as JSON can hold it: a host project's may be a UUID."""
    return pk if pk is None or isinstance(pk, int) else str(pk)
