"""The reader of streams reads what a stream says, however it is cut, and says what an answer is that is none."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from folkmoot.testing.sse_client import SseClient

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENTS = b': ping\n\nretry: 5\n\nevent: entry\nid: p1\ndata: {"seq":\ndata: 1}\n\nevent: pong\ndata: {}\n\n'


@contextlib.asynccontextmanager
async def answering(*parts: bytes) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A port that answers each request with `parts`, one write each, then closes; and the requests it had."""
    requests: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.readuntil(b"\r\n\r\n"))
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1], requests


@pytest.mark.parametrize("cut", [1, 7, 1_000])
def test_a_stream_is_read_however_it_is_cut(cut: int) -> None:
    whole = HEAD + b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (EVENTS[:20], EVENTS[20:])) + b"0\r\n\r\n"

    async def body() -> None:
        async with answering(*(whole[at : at + cut] for at in range(0, len(whole), cut))) as (port, requests):
            reader = await SseClient.asks(port, "/s", "secret", last_event_id="p0")
            assert await reader.ended() == ""
            assert [(e.name, e.id, e.data) for e in reader.events] == [("entry", "p1", {"seq": 1}), ("pong", "p1", {})]
            assert (reader.comments, reader.retry_ms, reader.finished, reader.last_event_id) == (1, 5, True, "p1")
            assert requests[0].startswith(b"GET /s HTTP/1.1\r\n")
            assert b"Authorization: Bearer secret\r\n" in requests[0]
            assert b"Last-Event-ID: p0\r\n" in requests[0]

    asyncio.run(body())


def test_a_stream_that_breaks_is_not_finished() -> None:
    async def body() -> None:
        async with answering(HEAD, b"5\r\nabc") as (port, _):
            reader = await SseClient.asks(port, "/s", None)
            await reader.ended()
            assert not reader.finished

    asyncio.run(body())


def test_a_problem_is_told_with_status_and_code() -> None:
    async def body() -> None:
        async with answering(b'HTTP/1.1 404 X\r\nContent-Length: 14\r\n\r\n{"code":', b'"none"}'[:6]) as (
            port,
            requests,
        ):
            reader = await SseClient.asks(port, "/s", None, body={"a": 1})
            assert reader.status == 404
            assert requests[0].startswith(b"POST /s HTTP/1.1\r\n")
            await reader.ended()
        async with answering(b'HTTP/1.1 404 X\r\nContent-Length: 15\r\n\r\n{"code":', b'"none"}') as (port, _):
            assert await (await SseClient.asks(port, "/s", None)).problem() == (404, "none")

    asyncio.run(body())
