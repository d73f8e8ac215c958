"""Where a connection's bytes go: what a transport gives to a connection."""

from typing import Protocol

from folkmoot.protocol.codec import Codec


class Outlet(Protocol):
    """One socket, seen from a connection.

    `wire` names the bytes it takes: feeds build one frame for all outlets of the same wire. `write` takes ready bytes
    and does nothing once the socket is gone; it is the one call that the fan-out makes a member. `slot` is where the
    socket's descriptor stands in `gateway/slots.py` while it may be written to past all this, or -1 where it never may:
    the same for all outlets of a wire.
    """

    wire: str
    slot: int
    peer: str

    @property
    def codec(self) -> Codec: ...

    def write(self, frames: bytes, /) -> None: ...

    def frame(self, payload: bytes, /) -> bytes:
        """The bytes that carry `payload`: a pure function of the wire, so that they may be shared."""

    def buffered(self) -> int:
        """Bytes written and not yet taken by the system."""

    def ping(self) -> None:
        """Ask the other end for a sign of life."""

    def close(self, code: int, reason: str) -> None:
        """Flush, say goodbye with a close code, and let go. Safe to call twice."""
