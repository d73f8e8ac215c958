"""The rude client says exactly what it is told to, and reads what comes back."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from folkmoot.gateway.websocket import text_frame
from folkmoot.testing.rude_client import CLOSE, TEXT, RudeClient, client_frame, upgrade_request


@contextlib.asynccontextmanager
async def scripted(says: bytes, hears: int) -> AsyncIterator[tuple[int, "asyncio.Future[bytes]"]]:
    """A port that reads `hears` bytes, says something and closes."""
    heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.set_result(await reader.readexactly(hears))
        writer.write(says)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], heard


def test_it_says_what_it_is_told_and_reads_answers_and_frames() -> None:
    answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\nX: a: b\r\n\r\n{}"
    says = answer + text_frame(b"x" * 200) + text_frame(b"y" * 70_000) + b"\x88\x02\x0f\xa0"

    async def run() -> None:
        async with scripted(says, 3) as (port, heard), RudeClient.connect(port) as client:
            client.say(b"abc")
            await client.flush()
            assert await heard == b"abc"
            got = await client.answer()
            assert (got.status, got.headers["x"], got.json()) == (404, "a: b", {})
            assert await client.frame() == (TEXT, b"x" * 200)
            assert await client.close_code() == 4000
            assert await client.frame() is None
            await client.ended()

    asyncio.run(run())


def test_a_refused_upgrade_is_no_client() -> None:
    async def run() -> None:
        refusal = b"HTTP/1.1 403 Forbidden\r\n\r\n"
        async with scripted(refusal, len(upgrade_request())) as (port, _):
            with pytest.raises(AssertionError, match="403"):
                async with RudeClient.upgraded(port):
                    pass

    asyncio.run(run())


def test_a_request_leaves_out_what_is_none() -> None:
    raw = upgrade_request("/x", key=None, host=None, subprotocols=("a", "b"), extra=[("Origin", "o")])
    lines = raw.decode().split("\r\n")
    assert lines[0] == "GET /x HTTP/1.1"
    assert lines.count("Sec-WebSocket-Protocol: a") == lines.count("Sec-WebSocket-Protocol: b") == 1
    assert "Origin: o" in lines
    assert not any(line.startswith(("Host", "Sec-WebSocket-Key")) for line in lines)


@pytest.mark.parametrize(("size", "head"), [(5, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)])
def test_a_frame_is_masked_and_its_header_fits(size: int, head: int) -> None:
    frame = client_frame(b"p" * size)
    assert len(frame) == head + 4 + size
    mask, masked = frame[head : head + 4], frame[head + 4 :]
    assert bytes(byte ^ mask[n % 4] for n, byte in enumerate(masked)) == b"p" * size


def test_a_frame_can_lie() -> None:
    assert client_frame(b"x", CLOSE, fin=False, reserved=7, masked=False, size=100) == b"\x78\x64x"
