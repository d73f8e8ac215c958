"""Proxies: what those that are trusted say is believed, from the right, and nobody else can say who they are."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from folkmoot.gateway.proxies import Asker, Proxies

OURS = Proxies(["127.0.0.1", "10.0.0.0/8", "2001:db8:1::/48"])


def asker(peer: str, *headers: tuple[str, str], is_tls: bool = False) -> Asker:
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    return OURS.asker(peer, raw, is_tls=is_tls)


@pytest.mark.parametrize("peer", ["192.0.2.9", "2001:db8:2::1", "", "not an address"])
def test_who_is_no_proxy_of_ours_is_believed_nothing(peer: str) -> None:
    told = [
        ("X-Forwarded-For", "10.1.1.1"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "evil.example"),
        ("Forwarded", "for=10.1.1.1;proto=https;host=evil.example"),
    ]
    assert asker(peer, *told) == Asker(peer)
    assert asker(peer, *told, is_tls=True) == Asker(peer, is_https=True)
    assert Proxies().asker("127.0.0.1", [(b"x-forwarded-for", b"192.0.2.1")], is_tls=False) == Asker("127.0.0.1")


@pytest.mark.parametrize(
    ("told", "found"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:4711", "192.0.2.1"),
        ("2001:db8:2::1", "2001:db8:2::1"),
        ("[2001:db8:2::1]:80", "2001:db8:2::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        # What the client wrote itself stands to the left of what our proxy saw.
        ("198.51.100.7, 192.0.2.1", "192.0.2.1"),
        ("198.51.100.7, 192.0.2.1, 10.0.0.2", "192.0.2.1"),
        ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("garbage, 10.0.0.2", "10.0.0.2"),
        ("192.0.2.1, garbage", "127.0.0.1"),
        ("unknown", "127.0.0.1"),
        (",", "127.0.0.1"),
        ("", "127.0.0.1"),
    ],
)
def test_the_address_is_the_nearest_that_is_not_ours(told: str, found: str) -> None:
    assert asker("127.0.0.1", ("X-Forwarded-For", told)).address == found
    # Over several lines as in one.
    lines = [("X-Forwarded-For", part) for part in told.split(",")]
    assert asker("127.0.0.1", *lines).address == found


def test_host_and_scheme_are_the_nearest_proxys_word() -> None:
    client = ("X-Forwarded-For", "192.0.2.1")
    told = (client, ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "chat.example"))
    assert asker("10.0.0.1", *told) == Asker("192.0.2.1", "chat.example", True)
    assert asker("10.0.0.1", client, ("X-Forwarded-Proto", "https, http")).is_https is False
    assert asker("10.0.0.1", client, ("X-Forwarded-Host", "evil.example, chat.example")).host == "chat.example"
    # By TLS to us says nothing of how the client came to the proxy.
    assert asker("10.0.0.1", client, is_tls=True).is_https is False


@pytest.mark.parametrize(
    ("told", "found"),
    [
        ("for=192.0.2.1;proto=https;host=chat.example", Asker("192.0.2.1", "chat.example", True)),
        ('For="[2001:db8:2::1]:4711"; Proto=HTTPS', Asker("2001:db8:2::1", "", True)),
        (
            "for=198.51.100.7;host=evil.example, for=192.0.2.1;host=chat.example, for=10.0.0.2;host=inner",
            Asker("192.0.2.1", "chat.example"),
        ),
        ("for=unknown;proto=https", Asker("127.0.0.1", "", True)),
        ("for=_hidden, for=10.0.0.2;host=chat.example", Asker("10.0.0.2", "chat.example")),
        ("proto=https", Asker("127.0.0.1", "", True)),
        ("", Asker("127.0.0.1")),
        (";;=,", Asker("127.0.0.1")),
    ],
)
def test_forwarded_is_read_where_nothing_else_is_there(told: str, found: Asker) -> None:
    assert asker("127.0.0.1", ("Forwarded", told)) == found
    assert asker("127.0.0.1", ("Forwarded", told), ("X-Forwarded-For", "203.0.113.5")) == Asker("203.0.113.5")


def test_an_address_that_is_none_is_named() -> None:
    for wrong in ("proxy.example", "10.0.0.1/8", ""):
        with pytest.raises(ValueError, match=wrong or "''"):
            Proxies([wrong])


@given(st.text(st.characters(max_codepoint=255), max_size=80), st.text(st.characters(max_codepoint=255), max_size=80))
def test_whatever_is_said_an_address_comes_out(one: str, two: str) -> None:
    found = asker("127.0.0.1", ("X-Forwarded-For", one), ("Forwarded", two))
    ipaddress.ip_address(found.address)
