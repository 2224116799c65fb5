"""Whether a request ever left, read from urllib3's errors: all three SDKs talk through it."""

from ssl import SSLCertVerificationError


def never_connected(error: object) -> bool:
    """Whether no connection came about, so that no byte of the request was sent.

    The classes that `requests` and botocore make of an error do not tell. An ``SSLError`` may come from reading the
    answer. And a connection that breaks after the request went out through a proxy arrives as a proxy's error,
    because http.client closes it first and urllib3 then takes it for one that never reached its proxy.

    Args:
        error: urllib3's own error, or the error inside its ``ProxyError``.
    """
    from urllib3.exceptions import ConnectTimeoutError

    error = getattr(error, "original_error", error)
    if isinstance(error, ConnectTimeoutError):  # and its subclasses, for refused connections and unknown names
        return True
    if type(error) is OSError and str(error).startswith("Tunnel connection failed"):
        return True
    return any(isinstance(part, SSLCertVerificationError) for part in getattr(error, "args", ()))
