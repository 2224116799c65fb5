"""What a session keeps between two pages: the token of the code that was asked for, where to go afterwards, and the
configuration by which somebody came.

The token is of use for whoever can read the session, as the session itself is; the code is not in it.
"""

from dataclasses import dataclass, field

from django.conf import global_settings, settings
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.http import HttpRequest
from django.shortcuts import resolve_url
from django.utils.http import url_has_allowed_host_and_scheme

LOGIN, NUMBER, IDENTITY = "login", "number", "identity"
_LONGEST = 2000
_PREFIX = "login_mobile_"
_CONFIG = "login_mobile_config"


@dataclass(frozen=True)
class Pending:
    """A code that was asked for on one of the ways (``LOGIN``, ``NUMBER``, ``IDENTITY``) and not used yet.

    Attributes:
        token: of the ``PendingCode``.
        next: where to go afterwards; empty: nobody said.
        config: the key of the login that was named in the address; empty: the default one.
        promised: every number gets a text, so the page may say that one is on its way.
    """

    token: str = field(repr=False)
    next: str = ""
    config: str = ""
    promised: bool = True

    @classmethod
    def of(cls, request: HttpRequest, way: str) -> "Pending | None":
        stored = request.session.get(_PREFIX + way)
        return cls(*stored) if isinstance(stored, list) and len(stored) == 4 else None

    def keep(self, request: HttpRequest, way: str) -> None:
        request.session[_PREFIX + way] = [self.token, self.next, self.config, self.promised]


def forget(request: HttpRequest, way: str) -> None:
    request.session.pop(_PREFIX + way, None)


def keep_config(request: HttpRequest, key: str) -> None:
    """From now on the pages of the account go by this configuration; empty: by the default one."""
    if key:
        request.session[_CONFIG] = key
    else:
        request.session.pop(_CONFIG, None)


def kept_config(request: HttpRequest) -> str | None:
    """The key of the configuration by which somebody came; ``None``: the default one, as its name need not be known."""
    return request.session.get(_CONFIG)


def safe_next(request: HttpRequest, url: str) -> str:
    """Where somebody asked to go afterwards; empty unless it is on this host."""
    here = {request.get_host()}
    is_safe = url_has_allowed_host_and_scheme(url, allowed_hosts=here, require_https=request.is_secure())
    return url if is_safe and len(url) <= _LONGEST else ""


def given_next(request: HttpRequest) -> str:
    """The same of what the request says."""
    given = request.POST if request.method == "POST" else request.GET
    return safe_next(request, given.get(REDIRECT_FIELD_NAME, ""))


def after_login(request: HttpRequest, next_url: str) -> str:
    """Where to go: where somebody wanted to, where the project says, or the page of the account."""
    if url := safe_next(request, next_url):
        return url
    if settings.LOGIN_REDIRECT_URL != global_settings.LOGIN_REDIRECT_URL:
        return resolve_url(settings.LOGIN_REDIRECT_URL)
    return resolve_url("login_mobile:account")
