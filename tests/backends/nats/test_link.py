"""One link: the steps of the library that it overrides do what the bus relies on."""

import asyncio
from pathlib import Path

from nats.protocol.command import pub_cmd

from folkmoot.backends.nats.credentials import Credentials
from folkmoot.backends.nats.link import NOBODY, Link
from folkmoot.backends.nats.server import NatsServer

WAIT_S_MAX = 20.0


async def opened(server: NatsServer) -> Link:
    link = Link(on_refused=lambda _: None)
    await link.open(server.url, name="test", credentials=Credentials(), tls=None)
    return link


def test_what_was_written_before_a_settled_link_has_been_taken(tmp_path: Path) -> None:
    async def run() -> None:
        async with NatsServer(tmp_path) as server:
            link = await opened(server)
            heard: list[tuple[bytes, bytes, bytes]] = []
            number, command = link.listen("a.*", lambda *message: heard.append(message))
            await link.write([command, pub_cmd("a.1", "b.1", b"x"), pub_cmd("a.2", "", b"y")])
            await link.settle(WAIT_S_MAX)
            assert heard == [(b"a.1", b"x", b"b.1"), (b"a.2", b"y", b"")]
            await link.write([link.forget(number), pub_cmd("a.1", "", b"z")])
            await link.settle(WAIT_S_MAX)
            assert len(heard) == 2
            await link.end()

    asyncio.run(run())


def test_the_word_that_nobody_listens_is_told_from_a_message(tmp_path: Path) -> None:
    async def run() -> None:
        async with NatsServer(tmp_path) as server:
            link = await opened(server)
            heard: list[tuple[bytes, bytes, bytes]] = []
            _, command = link.listen("b.1", lambda *message: heard.append(message))
            await link.write([command, pub_cmd("a.1", "b.1", b"x")])
            await link.settle(WAIT_S_MAX)
            assert heard == [(b"b.1", b"", NOBODY)]
            await link.end()

    asyncio.run(run())


def test_a_server_that_ends_or_has_enough_of_us_ends_the_link(tmp_path: Path) -> None:
    async def run() -> None:
        async with NatsServer(tmp_path) as server:
            for killed in (True, False):
                await server.start()
                link = await opened(server)
                watching = asyncio.create_task(link.watch())
                if killed:
                    await server.kill()
                else:
                    await link.write([b"NONSENSE\r\n"])
                async with asyncio.timeout(WAIT_S_MAX):
                    await watching
                assert link.last_fault is not None
                await link.end()

    asyncio.run(run())


def test_a_paused_server_ends_the_link_and_cannot_hold_it(tmp_path: Path) -> None:
    async def run() -> None:
        async with NatsServer(tmp_path) as server:
            link = await opened(server)
            server.pause()
            try:
                writing = asyncio.create_task(link.write([pub_cmd("a.1", "", bytes(1_000_000))] * 10))
                async with asyncio.timeout(WAIT_S_MAX):
                    await link.watch()
                    assert not writing.done()
                    await link.end()
                    await writing
            finally:
                server.resume()

    asyncio.run(run())
