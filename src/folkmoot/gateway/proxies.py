"""Who really asks, where proxies stand before the server: what they say is believed, and of nobody else."""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

import msgspec

Headers: TypeAlias = Iterable[tuple[bytes, bytes]]
_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address


class Asker(msgspec.Struct, frozen=True):
    """Whoever sent a request: its address; the host it asked for; whether it surely did so by https.

    `host` is "" where the request's own header says it, `is_https` False where nobody knows.
    """

    address: str
    host: str = ""
    is_https: bool = False


class Proxies:
    """Addresses and networks of proxies whose headers are believed.

    X-Forwarded-For and its like come first, Forwarded (RFC 7239) counts where it is not there: a proxy passes on what
    it does not write, so one that writes Forwarded has to take X-Forwarded-For away.
    """

    def __init__(self, networks: Sequence[str] = ()) -> None:
        """Raises ValueError, which names the one that is none."""
        self._networks = [ipaddress.ip_network(text) for text in networks]

    def asker(self, peer: str, headers: Headers, *, is_tls: bool) -> Asker:
        """Who asks, by the peer of the connection and, where that is a proxy of ours, by its headers."""
        plain = Asker(peer, is_https=is_tls)
        address = _address_in(peer) if self._networks else None
        if address is None or not self._trusts(address):
            return plain
        told = [(name, value.decode("latin-1")) for name, value in headers if name in _NAMES]
        hops = _items(told, b"x-forwarded-for")
        if hops:
            protos, hosts = _items(told, b"x-forwarded-proto"), _items(told, b"x-forwarded-host")
            at, found = self._nearest(hops)
            # The nearest proxy's word: what stands before it may be the client's own.
            return Asker(found or peer, hosts[-1] if hosts else "", bool(protos) and protos[-1].lower() == "https")
        elements = [dict(_PAIR.findall(item)) for item in _items(told, b"forwarded")]
        fields = [{name.lower(): value.strip('"') for name, value in element.items()} for element in elements]
        at, found = self._nearest([element.get("for", "") for element in fields])
        if at is None:
            return plain
        return Asker(found or peer, fields[at].get("host", ""), fields[at].get("proto", "").lower() == "https")

    def _trusts(self, address: _Address) -> bool:
        return any(address in network for network in self._networks)

    def _nearest(self, hops: list[str]) -> tuple[int | None, str]:
        """From the right, the first that is no proxy of ours: its place, and its address, "" where it is none.

        Where all are ours, the last that has an address is who asks: a proxy itself does.
        """
        place, found = None, ""
        for at in range(len(hops) - 1, -1, -1):
            address = _address_in(hops[at])
            if address is None:
                return (at if place is None else place), found
            place, found = at, str(address)
            if not self._trusts(address):
                break
        return place, found


_NAMES: Final = (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"forwarded")
_PAIR: Final = re.compile(r'(?:^|;)\s*([A-Za-z]+)=("[^"]*"|[^;"]*)')


def _items(told: list[tuple[bytes, str]], wanted: bytes) -> list[str]:
    """A header's items, of all its lines in their order."""
    return [item.strip() for name, value in told if name == wanted for item in value.split(",") if item.strip()]


def _address_in(text: str) -> _Address | None:
    """The address in `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`; None where there is none."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
