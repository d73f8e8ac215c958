"""One process's life: ready, in use, drained: what was taken is answered, and everyone is sent on."""

import asyncio
from pathlib import Path

import pytest

from folkmoot.testing.served import served


def test_it_is_ready_serves_and_drains(tmp_path: Path) -> None:
    async def run() -> None:
        async with served(tmp_path) as server:
            client = await server.client("user-1")
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answer = await reader.read()
            assert answer.startswith(b"HTTP/1.1 200")
            assert answer.endswith(b'{"status":"ready"}')
            writer.close()
            made = await client.asked("group.created", {"name": "g"}, "make")
            assert made["t"] == "accepted"
        assert await client.ended() == ("server_draining", 4000)
        assert client.all("goodbye")[0]["reconnect_after_ms"] >= 0
        async with served(tmp_path) as server:
            again = await server.client("user-1")
            again.say({"t": "resume", "others": True})
            snapshot = await again.wait("snapshot")
            assert snapshot["group"] == made["group"]

    asyncio.run(run())


def test_a_port_that_is_taken_is_an_error_and_leaves_nothing_behind(tmp_path: Path) -> None:
    async def run() -> None:
        async with served(tmp_path / "one") as server:
            with pytest.raises(OSError, match="in use"):
                async with served(tmp_path / "two", port=server.port):
                    pass
        async with served(tmp_path / "two"):
            pass

    asyncio.run(run())
