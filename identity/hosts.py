"""Which hosts are on the internet: the names that may be resolved, and the addresses that may be connected to."""

import ipaddress
import re

# A DNS name of two labels or more whose last begins with a letter: no address, in whatever notation, looks like that.
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
# Names of the machine itself and of networks that are not the internet (RFC 6761, 6762 appendix G, 7686, 9476).
_NOT_PUBLIC = "alt|arpa|corp|home|internal|intranet|invalid|lan|local|localdomain|localhost|onion|private"
_PUBLIC_NAME = re.compile(rf"(?=.{{1,253}}\Z)(?:{_LABEL}\.)+(?=[a-z])(?!(?:{_NOT_PUBLIC})\Z){_LABEL}")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
# What Python 3.11 calls global and is not: protocol assignments, 6to4 relays, documentation (RFC 6890, 7526, 9637).
_NOT_GLOBAL = (
    ipaddress.ip_network("192.0.0.0/24"),
    ipaddress.ip_network("192.88.99.0/24"),
    ipaddress.ip_network("3fff::/20"),
)


def is_public_name(host: str) -> bool:
    """Whether a host is a DNS name in lower case that may be resolved: no address, no name of a private network."""
    return _PUBLIC_NAME.fullmatch(host) is not None


def is_public_address(text: str) -> bool:
    """Whether an IP address is globally reachable unicast, looking through IPv4 embedded in IPv6."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        embedded = address.ipv4_mapped
        if address in _NAT64:
            embedded = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        if embedded is None:
            tunnelled = address.sixtofour is not None or address.teredo is not None
            return _is_global(address) and address in _GLOBAL_UNICAST and not tunnelled
        address = embedded
    return _is_global(address) and not address.is_multicast and not address.is_reserved


def _is_global(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return address.is_global and not any(address in network for network in _NOT_GLOBAL)
