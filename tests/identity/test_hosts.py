"""Names and addresses of the internet, told from everything else."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.hosts import is_public_address, is_public_name


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "2606:2800:220:1::1", "8.8.8.8", "::ffff:8.8.8.8", "64:ff9b::808:808", "2a00:1450::1"]
)
def test_public_addresses_are_public(address: str) -> None:
    assert is_public_address(address)


@pytest.mark.parametrize("address", ["192.0.0.9", "192.88.99.1", "::ffff:192.88.99.1", "64:ff9b::c058:6301", "3fff::1"])
def test_addresses_that_python_takes_for_global_and_are_not(address: str) -> None:
    assert not is_public_address(address)


@given(
    st.ip_addresses(v=4)
    | st.sampled_from(["0.0.0.0/8", "10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "192.168.0.0/16", "240.0.0.0/4"])
    .map(ipaddress.IPv4Network)
    .flatmap(lambda network: st.ip_addresses(network=network))
)
def test_an_ipv4_address_stays_what_it_is_within_ipv6(address: ipaddress.IPv4Address) -> None:
    """Mapped and translated (NAT64) it is judged as itself; tunnelled (6to4) and compatible it is never public."""
    public = is_public_address(str(address))
    assert public <= address.is_global
    for prefix in ("::ffff:0:0", "64:ff9b::"):
        assert is_public_address(str(ipaddress.IPv6Address(prefix) + int(address))) == public
    assert not is_public_address(str(ipaddress.IPv6Address("::") + int(address)))
    assert not is_public_address(str(ipaddress.IPv6Address("2002::") + (int(address) << 80)))


@pytest.mark.parametrize(
    "host",
    [
        "issuer.example",
        "a.bc",
        "issuer.co.ke",
        "xn--80ak6aa92e.com",
        "1.2.3.4.example",
        "local.example",
        "a--b.example",
    ],
)
def test_a_dns_name_may_be_resolved(host: str) -> None:
    assert is_public_name(host)


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "a.localhost", "printer.local", "db.internal", "a.lan", "a.home", "b.home.arpa", "x.onion"),
        *("example", "issuer.example.", ".example", "a..b", "127.0.0.1", "0x7f.1", "2130706433", "127.1", "0177.0.0.1"),
        *("Issuer.example", "issuer_.example", "-a.example", "a-.example", "issu\u00e9r.example", "\uff11.example", ""),
        *("[::1]", "a.example\n", "a b.example", "a@b.example", "a.1", "a" * 64 + ".example", "a." * 127 + "example"),
    ],
    ids=ascii,
)
def test_any_other_host_may_not(host: str) -> None:
    assert not is_public_name(host)
