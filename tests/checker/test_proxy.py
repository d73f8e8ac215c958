"""The proxy: what goes through whole, what is held, late, cut or refused, and that no direction is mistaken."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from folkmoot.checker.proxy import FAIR, HELD_BYTES_MAX, Proxy, Weather, _End

WAIT_S_MAX = 10.0


class Echo(asyncio.Protocol):
    """A server that says back what it hears, and keeps count."""

    heard = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        Echo.heard += len(data)
        self.transport.write(data)


@asynccontextmanager
async def echoing() -> AsyncIterator[tuple[Proxy, int]]:
    Echo.heard = 0
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Echo, "127.0.0.1", 0)
    proxy = Proxy()
    await proxy.open("127.0.0.1", server.sockets[0].getsockname()[1])
    try:
        yield proxy, int(proxy.url.rpartition(":")[2])
    finally:
        await proxy.close()
        server.close()


def run(test: Callable[[Proxy, int], Awaitable[None]]) -> None:
    async def body() -> None:
        async with asyncio.timeout(WAIT_S_MAX), echoing() as (proxy, port):
            await test(proxy, port)
            for writer in writers:
                writer.close()
            await until(lambda: proxy.connections == 0)
        writers.clear()

    asyncio.run(body())


writers: list[asyncio.StreamWriter] = []


async def connected(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writers.append(writer)
    return reader, writer


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0)


def test_bytes_go_through_both_ways_in_their_order() -> None:
    async def test(proxy: Proxy, port: int) -> None:
        reader, writer = await connected(port)
        sent = bytes(range(256)) * 8_192
        writer.write(sent)
        assert await reader.readexactly(len(sent)) == sent
        writer.close()
        await until(lambda: proxy.connections == 0)

    run(test)


def test_what_is_held_up_reaches_nobody_until_the_weather_clears() -> None:
    async def test(proxy: Proxy, port: int) -> None:
        reader, writer = await connected(port)
        writer.write(b"a")
        assert await reader.readexactly(1) == b"a"
        proxy.set(Weather(held_up=True))
        writer.write(b"b")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.1)
        assert Echo.heard == 1
        proxy.set(FAIR)
        assert await reader.readexactly(1) == b"b"

    run(test)


def test_what_is_held_down_was_heard_by_the_server() -> None:
    async def test(proxy: Proxy, port: int) -> None:
        reader, writer = await connected(port)
        proxy.set(Weather(held_down=True))
        writer.write(b"abc")
        await until(lambda: Echo.heard == 3)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.1)
        proxy.set(FAIR)
        assert await reader.readexactly(3) == b"abc"

    run(test)


def test_only_so_much_is_held_and_nothing_of_it_lost() -> None:
    async def test(proxy: Proxy, port: int) -> None:
        reader, writer = await connected(port)
        proxy.set(Weather(held_up=True))
        sent = b"x" * (64 * HELD_BYTES_MAX)
        writer.write(sent)
        # The system's own buffers take some; the rest stays with the sender.
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(writer.drain(), 0.2)
        proxy.set(FAIR)
        assert await reader.readexactly(len(sent)) == sent

    run(test)


def test_a_slow_network_delays_and_does_not_reorder() -> None:
    async def test(proxy: Proxy, port: int) -> None:
        reader, writer = await connected(port)
        proxy.set(Weather(delay_s=0.05))
        began_s = asyncio.get_running_loop().time()
        for number in range(20):
            writer.write(bytes([number]))
            await asyncio.sleep(0)
        assert await reader.readexactly(20) == bytes(range(20))
        assert asyncio.get_running_loop().time() - began_s >= 0.1

    run(test)


def test_a_cut_resets_both_sides() -> None:
    async def test(proxy: Proxy, port: int) -> None:
        reader, writer = await connected(port)
        writer.write(b"a")
        await reader.readexactly(1)
        assert proxy.cut() == 2
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)
        await until(lambda: proxy.connections == 0)

    run(test)


def test_a_refusing_proxy_lets_nobody_in_and_then_everybody() -> None:
    async def test(proxy: Proxy, port: int) -> None:
        proxy.set(Weather(refusing=True))
        reader, _ = await connected(port)
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)
        proxy.set(FAIR)
        reader, writer = await connected(port)
        writer.write(b"a")
        assert await reader.readexactly(1) == b"a"

    run(test)


def test_a_server_that_is_not_there_is_a_reset() -> None:
    async def body() -> None:
        proxy = Proxy()
        await proxy.open("127.0.0.1", 1)
        async with asyncio.timeout(WAIT_S_MAX):
            reader, writer = await asyncio.open_connection("127.0.0.1", int(proxy.url.rpartition(":")[2]))
            with pytest.raises(ConnectionResetError):
                await reader.readexactly(1)
            writer.close()
        await proxy.close()

    asyncio.run(body())


def test_where_the_first_server_is_gone_the_next_is_tried() -> None:
    async def body() -> None:
        loop = asyncio.get_running_loop()
        gone = await loop.create_server(Echo, "127.0.0.1", 0)
        gone_port = gone.sockets[0].getsockname()[1]
        gone.close()
        server = await loop.create_server(Echo, "127.0.0.1", 0)
        proxy = Proxy()
        await proxy.open("127.0.0.1", gone_port, others=(("127.0.0.1", server.sockets[0].getsockname()[1]),))
        reader, writer = await connected(int(proxy.url.rpartition(":")[2]))
        writer.write(b"here")
        assert await reader.readexactly(4) == b"here"
        writer.close()
        await until(lambda: proxy.connections == 0)
        await proxy.close()
        server.close()

    asyncio.run(body())


class LateLoop(asyncio.SelectorEventLoop):
    """A loop whose machine is busy: a connection is handed over only once the other side has spoken."""

    proxy: Proxy

    async def create_connection(self, *args: Any, **more: Any) -> Any:
        made = await super().create_connection(*args, **more)
        if args[1:]:
            await until(lambda: any(end._held for end in self.proxy._ends))
        return made


def test_a_server_that_speaks_first_is_heard_however_early_it_does() -> None:
    # Its greeting was held until it spoke again, if it came before both halves were joined: NATS seemed to be away.
    class Greeter(asyncio.Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            transport.write(b"INFO\n")

    async def body() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, LateLoop)
        server = await loop.create_server(Greeter, "127.0.0.1", 0)
        proxy = loop.proxy = Proxy()
        await proxy.open("127.0.0.1", server.sockets[0].getsockname()[1])
        async with asyncio.timeout(WAIT_S_MAX):
            with socket.create_connection(("127.0.0.1", int(proxy.url.rpartition(":")[2]))) as client:
                client.setblocking(False)
                assert await loop.sock_recv(client, 100) == b"INFO\n"
        await proxy.close()
        server.close()

    with asyncio.Runner(loop_factory=LateLoop) as runner:
        runner.run(body())


class Gone(asyncio.Transport):
    """A transport that has lost its socket, and does not say that it closes."""

    aborted = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return None

    def is_closing(self) -> bool:
        return False

    def abort(self) -> None:
        self.aborted = True


def test_an_end_whose_socket_is_gone_already_is_let_go() -> None:
    # It once ended a run of ten minutes, with all that was found out by then.
    async def body() -> None:
        proxy, transport = Proxy(), Gone()
        end = _End(proxy, upward=True, accepted=False)
        end.connection_made(transport)
        assert proxy.cut() == 1
        assert transport.aborted

    asyncio.run(body())
