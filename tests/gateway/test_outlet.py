"""Every outlet keeps the contract: frames can be shared, writes stop at the end, a close may come twice."""

import asyncio
from collections.abc import Callable

import pytest

from folkmoot.gateway.outlet import Outlet
from folkmoot.gateway.websocket import WebSocketOutlet
from folkmoot.protocol.codec import CODECS, JSON
from folkmoot.testing.edge import HeldOutlet


class KeptTransport(asyncio.Transport):
    """A transport that keeps what is written and never sends it."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.1", 4)})
        self.written: list[bytes] = []
        self.closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        return sum(map(len, self.written))

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True


Built = tuple[Outlet, Callable[[], bytes]]


def held() -> Built:
    written: list[bytes] = []
    return HeldOutlet(written.append), lambda: b"".join(written)


def websocket() -> Built:
    transport = KeptTransport()
    return WebSocketOutlet(transport, JSON), lambda: b"".join(transport.written)


@pytest.fixture(params=[held, websocket])
def build(request: pytest.FixtureRequest) -> Callable[[], Built]:
    made: Callable[[], Built] = request.param
    return made


def test_a_frame_depends_on_wire_and_payload_only(build: Callable[[], Built]) -> None:
    first, second = build()[0], build()[0]
    assert first.wire == second.wire
    assert first.frame(b'{"t":"pong"}') == second.frame(b'{"t":"pong"}')
    assert b'{"t":"pong"}' in first.frame(b'{"t":"pong"}')
    assert first.codec is CODECS[first.codec.subprotocol]


def test_writes_reach_the_socket_in_order_until_it_is_closed(build: Callable[[], Built]) -> None:
    async def run() -> None:
        outlet, written = build()
        outlet.write(outlet.frame(b"one"))
        outlet.write(outlet.frame(b"two"))
        before = written()
        assert before.index(b"one") < before.index(b"two")
        outlet.close(4000, "first")
        ended = written()
        outlet.close(4001, "second")
        outlet.write(outlet.frame(b"three"))
        outlet.ping()
        assert b"three" not in written()
        assert written() == ended

    asyncio.run(run())
