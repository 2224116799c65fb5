"""The client of Alibaba Cloud's SDK, and what the SDK keeps for the whole process: connections and loggers."""

import logging
import os
import sys
import threading
from typing import Any
from urllib.parse import urlsplit

from ..conf import get_settings

_session_lock = threading.Lock()


def new_client(
    access_key: str, access_secret: str, endpoint_url: str, connect_timeout: float, read_timeout: float
) -> Any:
    """The SDK's client; timeouts are seconds."""
    from alibabacloud_dysmsapi20170525.client import Client
    from alibabacloud_tea_openapi.utils_models import Config

    _remove_import_handlers()
    return Client(
        Config(
            access_key_id=access_key,
            access_key_secret=access_secret,
            endpoint=urlsplit(endpoint_url).netloc,
            protocol=urlsplit(endpoint_url).scheme,
            # Milliseconds. Without ``retry_options`` the SDK tries once.
            connect_timeout=round(connect_timeout * 1000),
            read_timeout=round(read_timeout * 1000),
            max_idle_conns=_connections(),
        )
    )


def _connections() -> int:
    """Connections that are kept: for the threads of our pool, and as many of the workers' own."""
    return 2 * get_settings().THREADS


def prepare_session(endpoint_url: str, connections: int) -> None:
    """Make the session that the SDK uses for an endpoint, unless there is one.

    The SDK keeps sessions in a class-wide dict and makes them without a lock, so threads that begin together get
    several, with connections of their own. The key is the SDK's (``DaraCore.do_action``); a test watches it.
    """
    from darabonba.core import DaraCore

    url = urlsplit(endpoint_url)
    key = f"{url.scheme}://{url.netloc}:80:pool={connections}"
    if key not in DaraCore._sessions:
        with _session_lock:
            if key not in DaraCore._sessions:
                DaraCore._sessions[key] = _new_session(endpoint_url, connections)


def _new_session(endpoint_url: str, connections: int) -> Any:
    from darabonba.core import DaraCore
    from requests import Session
    from requests.utils import should_bypass_proxies

    scheme = urlsplit(endpoint_url).scheme
    session = Session()
    session.mount(f"{scheme}://", DaraCore.get_adapter(scheme, pool_size=connections))
    # A redirect would send the texts somewhere else, perhaps a second time.
    session.max_redirects = 0
    if should_bypass_proxies(endpoint_url, no_proxy=None):
        # The SDK passes HTTP_PROXY on and ignores NO_PROXY.
        send = session.send
        session.send = lambda request, **options: send(request, **{**options, "proxies": {}})  # type: ignore
    return session


def _forget_sessions() -> None:
    """A child process must not talk on its parent's connections: each would get the other's answers."""
    global _session_lock
    _session_lock = threading.Lock()
    core = getattr(sys.modules.get("darabonba.core"), "DaraCore", None)
    if core is not None:
        core._sessions.clear()


os.register_at_fork(after_in_child=_forget_sessions)


def _remove_import_handlers() -> None:
    """Take off the handlers that the SDK's packages put on their loggers on import, and the levels they set."""
    packages = ("Tea", "alibabacloud_", "darabonba")
    added = [vars(module).get("ch") for name, module in list(sys.modules.items()) if name.startswith(packages)]
    for name in ("alibabacloud-tea", "credentials", "darabonba-core"):
        logger = logging.getLogger(name)
        for handler in [handler for handler in logger.handlers if handler in added]:
            logger.removeHandler(handler)
            logger.setLevel(logging.NOTSET)
