"""A played link carries what both sides say, refuses when told to, and breaks with a code."""

import asyncio

import pytest

from folkmoot.client.errors import NotConnected
from folkmoot.client.link import LOST, NORMAL_CLOSE
from folkmoot.protocol import events as ev
from folkmoot.protocol.codec import JSON
from folkmoot.testing.played_links import PlayedLinks


class Notes:
    """A link's end that notes what it is told."""

    def __init__(self) -> None:
        self.notes: list[object] = []

    def heard(self) -> None:
        self.notes.append("heard")

    def frame(self, payload: bytes) -> None:
        self.notes.append(type(JSON.decode_server(payload)).__name__)

    def read_done(self) -> None:
        self.notes.append("read")

    def lost(self, close_code: int) -> None:
        self.notes.append(close_code)


HELLO = JSON.encode(ev.Hello(token="user-1", versions=[1]))
RESUME = JSON.encode(ev.Resume(others=True))


def test_what_the_server_says_comes_as_one_read_at_the_next_turn() -> None:
    async def body() -> None:
        links, notes = PlayedLinks(), Notes()
        link = await links.connect("ws://x", notes)
        link.write([HELLO, RESUME])
        assert notes.notes == []
        await asyncio.sleep(0)
        assert notes.notes == ["heard", "Welcome", "ResumeDone", "read"]
        assert links.last.written == [HELLO, RESUME]

    asyncio.run(body())


def test_a_cut_link_carries_nothing_more() -> None:
    async def body() -> None:
        links, notes = PlayedLinks(), Notes()
        link = await links.connect("ws://x", notes)
        link.write([HELLO])
        links.last.cut(4100)
        await asyncio.sleep(0)
        link.write([RESUME])
        link.close()
        link.abort()
        await asyncio.sleep(0)
        assert notes.notes == [4100]
        assert links.server.ends == []

    asyncio.run(body())


def test_taking_leave_and_dropping() -> None:
    async def body() -> None:
        links, notes = PlayedLinks(), Notes()
        (await links.connect("ws://x", notes)).close()
        (await links.connect("ws://x", notes)).abort()
        assert notes.notes == [NORMAL_CLOSE, LOST]

    asyncio.run(body())


def test_refusals_are_counted_down() -> None:
    async def body() -> None:
        links = PlayedLinks()
        links.refusals = 1
        with pytest.raises(NotConnected):
            await links.connect("ws://x", Notes())
        await links.connect("ws://x", Notes())
        assert len(links.made) == 1

    asyncio.run(body())
