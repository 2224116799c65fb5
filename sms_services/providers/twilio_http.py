"""The HTTP client of Twilio's SDK, on urllib3 itself: half the CPU of the SDK's own, which is on `requests`.

The SDK's own also has no timeouts, logs numbers and texts, keeps the last request with the credentials, and hands the
answer over in an attribute that all threads share. This one keeps what an exception of the SDK loses, per thread: the
answer's status and headers.
"""

import os
import threading
from typing import Any
from urllib.parse import urlencode

from requests import Session
from requests.adapters import HTTPAdapter
from requests.certs import where
from requests.utils import select_proxy
from twilio.http import HttpClient
from twilio.http.response import Response
from urllib3 import PoolManager, Timeout
from urllib3.util import make_headers


class TwilioHttpClient(HttpClient):
    """One try per request, no redirects.

    Args:
        url: what it will talk to; the environment is asked once for the proxy and the certificates to use.
        threads: the most connections. A thread more waits for one, instead of opening one for a single request.
    """

    def __init__(self, url: str, *, connect_timeout: float, read_timeout: float, threads: int) -> None:
        self.timeout = Timeout(connect=connect_timeout, read=read_timeout)
        self.pools = _pools(url, threads)
        self.answer = threading.local()

    def request(  # type: ignore[no-untyped-def]
        self, method, uri, params=None, data=None, headers=None, auth=None, timeout=None, allow_redirects=False
    ) -> Response:
        self.answer.status, self.answer.headers = 0, {}
        answer = self.pools.request(
            method,
            f"{uri}?{urlencode(params)}" if params else uri,
            body=urlencode(data, doseq=True) if data else None,
            headers={**headers, **make_headers(basic_auth=":".join(auth))},
            timeout=self.timeout,
            retries=False,
            redirect=False,
        )
        self.answer.status, self.answer.headers = answer.status, answer.headers
        return Response(answer.status, answer.data.decode(errors="replace"), answer.headers)


def _pools(url: str, connections: int) -> PoolManager:
    """Connections that follow the environment as those of `requests` do (HTTPS_PROXY, REQUESTS_CA_BUNDLE)."""
    environment = Session().merge_environment_settings(url, {}, None, None, None)
    bundle = environment["verify"] if isinstance(environment["verify"], str) else where()
    certificates: dict[str, Any] = {
        "cert_reqs": "CERT_REQUIRED",
        "ca_cert_dir" if os.path.isdir(bundle) else "ca_certs": bundle,
    }
    if proxy := select_proxy(url, environment["proxies"]):
        adapter = HTTPAdapter(pool_maxsize=connections, pool_block=True)
        return adapter.proxy_manager_for(proxy, **certificates)
    return PoolManager(maxsize=connections, block=True, **certificates)
