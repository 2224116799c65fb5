"""Functions of the project that processes use by name: predicates (conditions) and resolvers (who).

A project registers its own in a module ``approval_rules`` of any of its apps, which is imported at the start::

    from approvals.registry import predicate, resolver

    @predicate("large-amount", label=_("More than 10,000"))
    def large_amount(request):
        return request.data["amount"] > 10_000

    @resolver("cost-centre-owner", label=_("Owner of the cost centre"))
    def cost_centre_owner(request, *, approver=None):
        return request.subject.cost_centre.owner

Both get the request, with ``subject``, ``data`` and ``initiator``, inside the engine's transaction: keep them short,
and let them change nothing. A predicate returns whether the node applies. A resolver returns a user, several, a
queryset or ``None``; where it finds to whom a task is escalated, ``approver`` is the user who has not acted. One that
raises pauses the request; an administrator resumes it.
"""

from collections.abc import Callable
from typing import Any

from .logs import Loggable

Predicate = Callable[..., bool]
Resolver = Callable[..., Any]
AnyFunction = Callable[..., Any]

_predicates: dict[str, tuple[Any, Predicate]] = {}
_resolvers: dict[str, tuple[Any, Resolver]] = {}


class NotRegistered(Loggable, LookupError):
    """A process names a function that the project does not register (any more)."""


def predicate(name: str, *, label: Any = "") -> Callable[[Predicate], Predicate]:
    """Register a condition. ``label`` is what admins choose; default: the name."""
    return _registering(_predicates, name, label)


def resolver(name: str, *, label: Any = "") -> Callable[[Resolver], Resolver]:
    """Register a way to find people. ``label`` is what admins choose; default: the name."""
    return _registering(_resolvers, name, label)


def predicate_choices() -> list[tuple[str, Any]]:
    """All predicates, with their labels, for a form."""
    return [(name, label) for name, (label, _) in sorted(_predicates.items())]


def resolver_choices() -> list[tuple[str, Any]]:
    """All resolvers, with their labels, for a form."""
    return [(name, label) for name, (label, _) in sorted(_resolvers.items())]


def get_predicate(name: str) -> Predicate:
    """Raises ``NotRegistered``."""
    return _get(_predicates, name, "predicate")


def get_resolver(name: str) -> Resolver:
    """Raises ``NotRegistered``."""
    return _get(_resolvers, name, "resolver")


def _registering(
    into: dict[str, tuple[Any, AnyFunction]], name: str, label: Any
) -> Callable[[AnyFunction], AnyFunction]:
    def register(function: AnyFunction) -> AnyFunction:
        known = into.get(name)
        if known and (known[1].__module__, known[1].__qualname__) != (function.__module__, function.__qualname__):
            raise ValueError(f"{name!r} is registered already, by {known[1].__module__}.")
        into[name] = (label or name, function)
        return function

    return register


def _get(among: dict[str, tuple[Any, AnyFunction]], name: str, kind: str) -> AnyFunction:
    try:
        return among[name][1]
    except KeyError:
        raise NotRegistered(f"No {kind} is registered as {name!r}.") from None
