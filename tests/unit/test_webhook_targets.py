"""Where webhooks may go, and where not: nothing inside, however it is written."""

from __future__ import annotations

import pytest

from headroom.core.errors import InvalidRequest
from headroom.notifications.domain.targets import is_public, parse_target

PRIVATE = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",  # noqa: S104
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.169.254",  # The metadata service.
    "169.254.170.2",  # Credentials of containers.
    "100.64.0.1",  # Shared by carriers.
    "192.0.0.1",
    "198.18.0.1",
    "192.0.2.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fd00:ec2::254",  # The metadata service again.
    "fec0::1",
    "ff02::1",
    "2001:db8::1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::127.0.0.1",
    "64:ff9b::7f00:1",  # Translated to IPv4 by a gateway.
    "64:ff9b:1::7f00:1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
]
PUBLIC = ["93.184.215.14", "1.1.1.1", "172.32.0.1", "2606:4700::1111", "::ffff:1.1.1.1"]


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_inside_is_not_public(address: str) -> None:
    assert not is_public(address, loopback=False)


@pytest.mark.parametrize("address", PUBLIC)
def test_an_address_of_the_internet_is(address: str) -> None:
    assert is_public(address, loopback=False)


def test_this_machine_is_allowed_locally_and_nothing_else_inside() -> None:
    allowed = [address for address in PRIVATE if is_public(address, loopback=True)]
    assert allowed == ["127.0.0.1", "127.255.255.254", "::1"]


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "ftp://example.com/",
        "//example.com/",
        "example.com",
        "https://",
        "https:///path",
        "https://user:secret@example.com/",
        "https://example.com@10.0.0.1/",
        "https://example.com/#fragment",
        "https://example.com:0/",
        "https://example.com:99999/",
        "https://example.com:port/",
        "https://localhost/",
        "https://LOCALHOST/",
        "https://intranet/",
        "https://a.internal/",
        "https://metadata.google.internal/",
        "https://printer.local/",
        "https://example.com./",
        "https://127.0.0.1/",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0177.0.0.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[fd00:ec2::254]/",
        "https://[v1.a]/",
        "https://exa mple.com/",
        "https://example.com/\r\nX-Header: yes",
        "https://exämple.com/",
        "https://" + "a" * 600 + ".com/",
        "",
    ],
)
def test_an_address_that_is_not_https_to_a_public_host_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_target(url, loopback=False)
    assert refused.value.field == "url"


def test_a_target_is_taken_apart() -> None:
    plain = parse_target("https://Hooks.Example.com", loopback=False)
    assert (plain.host, plain.port, plain.path) == ("hooks.example.com", 443, "/")
    assert plain.authority == "hooks.example.com"

    odd = parse_target("https://example.com:8443/a/b?c=d", loopback=False)
    assert (odd.port, odd.path, odd.authority) == (8443, "/a/b?c=d", "example.com:8443")
    six = parse_target("https://[2606:4700::1111]/", loopback=False)
    assert six.authority == "[2606:4700::1111]"


def test_plain_http_is_for_this_machine_only_where_that_is_allowed() -> None:
    assert not parse_target("http://127.0.0.1:8000/x", loopback=True).secure
    assert parse_target("http://localhost:8000/x", loopback=True).host == "localhost"
    for url in ("http://10.0.0.1/", "http://example.com/", "https://10.0.0.1/"):
        with pytest.raises(InvalidRequest):
            parse_target(url, loopback=True)
