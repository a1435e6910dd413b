"""Where a webhook may go: to a public address over TLS, and never to anything of our own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final
from urllib.parse import urlsplit

from headroom.core.errors import InvalidRequest

URL_LENGTH_MAX: Final = 500
# A name of the public DNS: labels with a dot, the last of which is no number.
_NAME: Final = re.compile(
    r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]"
)
_PRINTABLE: Final = re.compile(r"[!-~]+")
# Names that mean something inside a network only.
_INSIDE: Final = (".internal", ".local", ".localhost", ".localdomain", ".home.arpa")
# All of IPv6 that is routed; of that, what carries an IPv4 address inside is refused as well.
_ROUTED: Final = IPv6Network("2000::/3")


@dataclass(frozen=True, slots=True)
class Target:
    """An address in the web, taken apart. `path` has the query with it."""

    secure: bool
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """What the `Host` header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"


def parse_target(url: str, *, loopback: bool) -> Target:
    """Take a webhook's address apart. With `loopback` it may be this machine, without TLS.

    Raises:
        InvalidRequest: it is not an https address of a public host.
    """
    if len(url) > URL_LENGTH_MAX or not _PRINTABLE.fullmatch(url):
        raise InvalidRequest("url", f"must have 1 to {URL_LENGTH_MAX} printable ASCII characters")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise InvalidRequest("url", "must be an https address") from error
    is_plain_here = loopback and parts.scheme == "http" and _is_this_machine(host)
    if parts.scheme != "https" and not is_plain_here:
        raise InvalidRequest("url", "must begin with https://")
    if "@" in parts.netloc or parts.fragment:
        raise InvalidRequest("url", "must have neither a user name nor a fragment")
    if port == 0 or not _may_be_public(host, loopback):
        raise InvalidRequest("url", "must name a public host")
    secure = parts.scheme == "https"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(secure, host, port or (443 if secure else 80), path)


def is_public(address: str, *, loopback: bool) -> bool:
    """Tell whether an IP address is one that a webhook may go to.

    Private, loopback, link-local (with the metadata services in it), shared, reserved and
    multicast ones are not, also inside an IPv6 address.
    """
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    if loopback and found.is_loopback:
        return True
    if isinstance(found, IPv4Address):
        return found.is_global and not found.is_multicast
    embeds = found.sixtofour is not None or found.teredo is not None
    return found in _ROUTED and found.is_global and not embeds


def _may_be_public(host: str, loopback: bool) -> bool:
    if loopback and _is_this_machine(host):
        return True
    try:
        return is_public(host, loopback=False)
    except ValueError:
        pass
    return bool(_NAME.fullmatch(host)) and not host.endswith(_INSIDE)


def _is_this_machine(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
