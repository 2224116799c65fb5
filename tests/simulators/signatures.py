"""The providers' request signatures, computed again from the raw request.

Nothing here calls a vendor's SDK: an SDK that signs wrongly would otherwise agree with itself.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from functools import lru_cache
from urllib.parse import parse_qsl, quote

from .http_server import HttpRequest


def authorization_fields(request: HttpRequest, algorithm: str) -> dict[str, str] | None:
    """`Credential`, `SignedHeaders` and `Signature` of an Authorization header, or None without them."""
    scheme, _, rest = request.headers.get("authorization", "").partition(" ")
    fields = dict(part.strip().partition("=")[::2] for part in rest.split(","))
    if scheme != algorithm or not {"Credential", "SignedHeaders", "Signature"} <= fields.keys():
        return None
    return fields


def canonical_query(raw_query: str) -> str:
    """Decoded, sorted by name and encoded again by RFC 3986, as ACS3 and SigV4 both define it."""
    pairs = sorted(parse_qsl(raw_query, keep_blank_values=True))
    return "&".join(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in pairs)


def canonical_request(request: HttpRequest, signed_headers: str) -> bytes:
    """The text whose hash both schemes sign; the payload's hash is of the body that really arrived."""
    headers = "".join(
        f"{name}:{re.sub(' +', ' ', request.headers.get(name, '').strip())}\n" for name in signed_headers.split(";")
    )
    payload = hashlib.sha256(request.body).hexdigest()
    lines = [request.method, request.path or "/", canonical_query(request.query), headers, signed_headers, payload]
    return "\n".join(lines).encode("latin-1")


def acs3_signature(request: HttpRequest, *, signed_headers: str, secret: str) -> str:
    """ACS3-HMAC-SHA256 (Alibaba Cloud, "V3 request structure and signature")."""
    digest = hashlib.sha256(canonical_request(request, signed_headers)).hexdigest()
    return hmac.new(secret.encode(), f"ACS3-HMAC-SHA256\n{digest}".encode(), hashlib.sha256).hexdigest()


def sigv4_signature(request: HttpRequest, *, signed_headers: str, scope: str, secret: str) -> str:
    """AWS4-HMAC-SHA256 (AWS, "Create a signed AWS API request"); `scope` is DATE/REGION/SERVICE/aws4_request."""
    digest = hashlib.sha256(canonical_request(request, signed_headers)).hexdigest()
    string_to_sign = f"AWS4-HMAC-SHA256\n{request.headers.get('x-amz-date', '')}\n{scope}\n{digest}"
    return hmac.new(_sigv4_key(secret, scope), string_to_sign.encode(), hashlib.sha256).hexdigest()


@lru_cache(maxsize=64)
def _sigv4_key(secret: str, scope: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key


def basic_credentials(request: HttpRequest) -> tuple[str, str]:
    """User name and password of HTTP basic authentication (RFC 7617), empty without."""
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    try:
        decoded = base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    username, _, password = decoded.partition(":")
    return (username, password) if scheme.lower() == "basic" else ("", "")
