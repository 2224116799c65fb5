"""Nothing in the tests' process reaches beyond this machine: whoever tries fails, and so does the test."""

import ipaddress
import socket
from typing import Any

#: What was tried since the list was last cleared.
attempts: list[str] = []


class NetworkBlocked(Exception):
    """A test reached for the network."""


def block() -> None:
    """Let sockets connect to loopback addresses only, and names other than localhost stay unresolved."""
    connect, connect_ex, getaddrinfo = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def guarded_connect(self: socket.socket, address: Any) -> None:
        _check(self.family, address)
        connect(self, address)

    def guarded_connect_ex(self: socket.socket, address: Any) -> int:
        _check(self.family, address)
        return connect_ex(self, address)

    def guarded_getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        _check(socket.AF_INET, (host,))
        return getaddrinfo(host, *args, **kwargs)

    socket.socket.connect = guarded_connect  # type: ignore[method-assign,assignment]
    socket.socket.connect_ex = guarded_connect_ex  # type: ignore[method-assign,assignment]
    socket.getaddrinfo = guarded_getaddrinfo


def _check(family: int, address: Any) -> None:
    if family not in {socket.AF_INET, socket.AF_INET6} or _is_local(address[0]):
        return
    attempts.append(str(address[0]))
    raise NetworkBlocked(f"Tests talk to this machine only, not to {address[0]}. Point the code at a simulator.")


def _is_local(host: Any) -> bool:
    name = host.decode() if isinstance(host, bytes) else host
    if name in {None, "", "localhost", socket.gethostname()}:
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified
