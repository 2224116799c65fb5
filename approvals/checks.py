"""System checks. Those that look into the database run with ``check --database default`` and with ``migrate``."""

from typing import Any
from urllib.parse import urlsplit

from celery import current_app
from django.apps import apps
from django.conf import settings as django_settings
from django.core import checks
from django.core.checks import CheckMessage, register
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.urls import NoReverseMatch, Resolver404, get_script_prefix, resolve, reverse

from notifications.directory import has_roles
from sms_services.checks import database_check

from .conf import get_settings
from .registry import predicate_choices, resolver_choices
from .sms import check_choice

TAG = "approvals"


@register(TAG)
def check_settings(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """``APPROVALS`` is spelled right, and its functions exist."""
    try:
        settings = get_settings()
        settings.function("USER_NICK")
        settings.function("ADMINISTRATORS")
    except ImproperlyConfigured as error:
        return [checks.Error(str(error), hint="See the settings in docs/approvals.md.", id="approvals.E001")]
    return []


@register(TAG)
def check_celery(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """The sweep is scheduled."""
    scheduled = {entry.get("task") for entry in (current_app.conf.beat_schedule or {}).values()}
    if "approvals.sweep" in scheduled or apps.is_installed("django_celery_beat"):
        return []
    return [
        checks.Warning(
            "The sweep of approvals is not scheduled: nobody is reminded, and nothing is escalated.",
            hint="Add the task 'approvals.sweep' to CELERY_BEAT_SCHEDULE, every ten seconds. If it is there, "
            "import your Celery app in your project's __init__.py.",
            id="approvals.W001",
        )
    ]


@register(TAG)
def check_login_page(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Whoever opens the inbox and is not logged in comes to a page that exists."""
    try:
        reverse("approvals:todo")
    except NoReverseMatch:
        return []
    if _leads_somewhere(str(django_settings.LOGIN_URL)):
        return []
    return [
        checks.Warning(
            f"The inbox sends those who are not logged in to {django_settings.LOGIN_URL!r}, which is no page here.",
            hint="Set LOGIN_URL, to 'admin:login' or 'login_mobile:login', say. If another server answers there, "
            "silence this check.",
            id="approvals.W004",
        )
    ]


def _leads_somewhere(login_url: str) -> bool:
    url = urlsplit(login_url)
    if url.netloc:
        return True
    try:
        if "/" in login_url:
            if not url.path.startswith(get_script_prefix()):
                return False
            resolve("/" + url.path.removeprefix(get_script_prefix()))
        else:
            reverse(login_url)
    except (NoReverseMatch, Resolver404):
        return False
    return True


@database_check(TAG)
def check_functions(using: str) -> list[CheckMessage]:
    """Every predicate and resolver that an active process names is registered."""
    from .models import Node, Rule

    predicates = {name for name, _label in predicate_choices()}
    resolvers = {name for name, _label in resolver_choices()}
    nodes = Node.objects.using(using).select_related("process")
    rules = Rule.objects.using(using).select_related("node__process")
    named = [
        *((node, "predicate", node.condition, predicates) for node in nodes),
        *((node, "resolver", node.escalate_resolver, resolvers) for node in nodes),
        *((rule.node, "resolver", rule.resolver, resolvers) for rule in rules),
    ]
    return [
        checks.Error(
            f"The node “{node.key}” of the process “{node.process.key}” names the {kind} {name!r}, "
            "which is not registered.",
            hint="Register it in a module approval_rules, or choose another one. Until then the node pauses requests.",
            id="approvals.E002",
        )
        for node, kind, name, known in named
        if name and name not in known and node.process.is_active
    ]


@database_check(TAG)
def check_texts(using: str) -> list[CheckMessage]:
    """What a node is to text can be sent through its service."""
    from .models import EngineSms, Node

    found: list[CheckMessage] = []
    # A service comes as its own kind only if it is read by itself.
    nodes = Node.objects.using(using).select_related("process", "sms_template")
    rows: list[Any] = [*nodes, *EngineSms.objects.using(using).select_related("sms_template")]
    for row in rows:
        try:
            check_choice(row.sms_service, row.sms_template)
        except ValidationError as error:
            name = f"{row.process.key} › {row.key}" if isinstance(row, Node) else str(row)
            found.append(
                checks.Warning(
                    f"The texts of “{name}” cannot be sent: {' '.join(error.messages)}",
                    hint="Choose another service or template for it in admin.",
                    id="approvals.W002",
                )
            )
    return found


@database_check(TAG)
def check_start_roles(using: str) -> list[CheckMessage]:
    """No process asks for a role, in a project whose users have none, of those who begin its requests."""
    from .models import Process

    if has_roles():
        return []
    return [
        checks.Warning(
            f"Only a role may begin requests of the process “{process.key}”, and users of this project have no roles: "
            "on the start page, nobody but superusers can begin one.",
            hint="Take the role out of the process in admin, or let your user model have groups.",
            id="approvals.W003",
        )
        for process in Process.objects.using(using)
        if process.start_role_id and process.is_active and process.has_start_page
    ]
