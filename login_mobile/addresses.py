"""The client's address, as far as it can be believed.

X-Forwarded-For is a list to which each proxy appends the address from which it got the request. Its left end is
whatever the client wrote there; only as many entries from the right are true as proxies of ours stand in front. How
many these are, a setting says: it is a matter of how requests come in, of which no admin can see anything, and which no
client may choose by naming one configuration or another.
"""

from ipaddress import IPv6Address, ip_address, ip_network

from django.http import HttpRequest

from .conf import get_settings

#: All who have no address, for example behind a socket whose proxy tells none: they share their limits.
UNKNOWN = "unknown"


def client_address(request: HttpRequest) -> str:
    """What counts as one address: an IPv4 address, the /64 of an IPv6 address, or ``unknown``."""
    proxies = get_settings().TRUSTED_PROXIES
    direct = parsed(request.META.get("REMOTE_ADDR", ""))
    if not proxies:
        return direct or UNKNOWN
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
    # Fewer entries than proxies: the request came by another way, whose end is all that is known of it.
    stated = parsed(forwarded[-proxies]) if len(forwarded) >= proxies else None
    return stated or direct or UNKNOWN


def wider_network(address: str) -> str | None:
    """The /48 of a /64 that ``client_address`` has found: one site may have all 65,536 in it. ``None``: no IPv6."""
    return str(ip_network(address).supernet(new_prefix=48)) if address.endswith("/64") else None


def named(text: str) -> str | None:
    """What counts as one address, of what somebody typed: an address, or what ``client_address`` says."""
    return UNKNOWN if text == UNKNOWN else parsed(text.removesuffix("/64"))


def parsed(text: str) -> str | None:
    """What counts as one address, of an address in any notation; ``None``: it is none."""
    text = text.strip()
    if text.startswith("["):  # [2001:db8::1]:4711
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:  # 203.0.113.7:4711
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ip_network((address, 64), strict=False))
    return str(address)
