"""What a member gets from the SDK over a real server: restored stores, copied outboxes, a server set back in time."""

import asyncio
import contextlib
import shutil
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from folkmoot.client import Client, SendRefused
from folkmoot.client.received import GroupEvent, Received
from folkmoot.protocol import events as ev
from folkmoot.testing.served import Served, served

WAIT_S_MAX = 15.0


class Reader:
    """A client whose application keeps a list of what it applied, and what it was told beside entries."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.entries: list[Received] = []
        self.events: list[GroupEvent] = []
        self._changed = asyncio.Event()
        client.on_event = self._told
        client.on_answer = lambda _: self._changed.set()
        self._task = asyncio.create_task(self._read())

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S_MAX):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    def texts(self) -> list[str]:
        return [entry.text for entry in self.entries if entry.kind == "message"]

    def seqs(self) -> list[int]:
        return [entry.seq for entry in self.entries]

    def told(self, kind: type[GroupEvent]) -> list[GroupEvent]:
        return [event for event in self.events if isinstance(event, kind)]

    async def close(self) -> None:
        await self.client.close()
        await self._task

    def _told(self, event: GroupEvent) -> None:
        self.events.append(event)
        self._changed.set()

    async def _read(self) -> None:
        async for entry in self.client:
            self.entries.append(entry)
            self._changed.set()


@contextlib.asynccontextmanager
async def reader(server: Served, user: str, store: Path | None = None) -> AsyncIterator[Reader]:
    client = Client(server.url, server.token(user), store=store, fresh="join", reconnect_s_max=0.2)
    await client.connect()
    reading = Reader(client)
    try:
        yield reading
    finally:
        await reading.close()


def run(tmp_path: Path, test: Callable[[Served], Awaitable[None]]) -> None:
    async def body() -> None:
        async with served(tmp_path / "server") as server:
            await test(server)

    asyncio.run(body())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_a_client_restored_from_an_hour_ago_goes_on_from_there_and_its_old_outbox_doubles_nothing(
    tmp_path: Path,
) -> None:
    async def test(server: Served) -> None:
        store, backup = tmp_path / "client.db", tmp_path / "backup.db"
        async with reader(server, "user-1", store) as one:
            group = await one.client.create_group("g", members=["user-2"])
            await one.until(lambda: len(one.entries) == 1)
            # A send is in the outbox when the backup is made: answered only afterwards.
            one.client.post(group, "in the outbox", send_id="kept")
            await asyncio.sleep(0)
            _copy_database(store, backup)
            await one.client.send(group, "later")
            await one.until(lambda: "later" in one.texts())
            before = one.seqs()
        async with reader(server, "user-1", backup) as again:
            await again.until(lambda: "later" in again.texts())
            await again.until(lambda: not again.client.pending())
            assert again.seqs() == [seq for seq in before if seq > 1]
            page = await again.client.history(group)
            assert [entry.text for entry in page.entries].count("in the outbox") == 1
            assert not again.told(ev.Reset)

    run(tmp_path, test)


def test_an_outbox_copied_to_a_second_device_sends_each_message_once(tmp_path: Path) -> None:
    async def test(server: Served) -> None:
        first, second = tmp_path / "first.db", tmp_path / "second.db"
        async with reader(server, "user-1", first) as one:
            group = await one.client.create_group("g", members=["user-2"])
            await one.until(lambda: len(one.entries) == 1)
            for n in range(20):
                one.client.post(group, f"m{n}")
            await asyncio.sleep(0)
            _copy_database(first, second)
        async with reader(server, "user-1", first) as one, reader(server, "user-1", second) as two:
            for device in (one, two):
                await device.until(lambda device=device: not device.client.pending())  # type: ignore[misc]
            page = await one.client.history(group, limit=100)
            texts = [entry.text for entry in page.entries if entry.kind == "message"]
            assert texts == [f"m{n}" for n in range(20)]

    run(tmp_path, test)


def test_two_devices_both_get_everything_in_one_order(tmp_path: Path) -> None:
    async def test(server: Served) -> None:
        async with (
            reader(server, "user-1") as phone,
            reader(server, "user-1") as desk,
            reader(server, "user-2") as other,
        ):
            group = await other.client.create_group("g", members=["user-1"])
            for device in (phone, desk):
                await device.until(lambda device=device: len(device.entries) == 1)  # type: ignore[misc]
            await asyncio.gather(
                *(c.send(group, f"{n}") for n, c in enumerate([phone.client, desk.client, other.client] * 10))
            )
            for device in (phone, desk, other):
                await device.until(lambda device=device: len(device.texts()) == 30)  # type: ignore[misc]
            assert phone.texts() == desk.texts() == other.texts()

    run(tmp_path, test)


def test_a_removed_members_late_send_is_refused_and_stays_so_after_a_new_join(tmp_path: Path) -> None:
    async def test(server: Served) -> None:
        async with reader(server, "user-1") as owner, reader(server, "user-2") as other:
            group = await owner.client.create_group("g", members=["user-2"])
            await other.until(lambda: len(other.entries) == 1)
            other_join = 1
            await owner.client.remove(group, "user-2")
            await other.until(lambda: bool(other.told(ev.Ended)))
            # As a copy that was on its way: made under the first join.
            late = await server.client("user-2", device="late")
            answer = await late.asked("message", {"text": "late"}, "late", group=group, join=other_join)
            assert (answer["t"], answer["code"]) == ("refused", "membership_over")
            await owner.client.add(group, ["user-2"])
            await other.until(lambda: len(other.told(ev.JoinedEvent)) == 2)
            answer = await late.asked("message", {"text": "late"}, "late", group=group, join=other_join)
            assert (answer["t"], answer["code"]) == ("refused", "membership_over")
            seq = await other.client.send(group, "back")
            assert seq == 4
            await owner.until(lambda: "back" in owner.texts())
            assert owner.texts() == ["back"]

    run(tmp_path, test)


def test_a_deleted_group_ends_for_everyone_and_takes_nothing_more(tmp_path: Path) -> None:
    async def test(server: Served) -> None:
        kept = tmp_path / "away.db"
        async with reader(server, "user-1") as owner, reader(server, "user-2") as other:
            group = await owner.client.create_group("g", members=["user-2", "user-3"], entry="open")
            async with reader(server, "user-3", kept) as away:
                await away.until(lambda: away.seqs() == [1])
            await owner.client.send(group, "last words")
            with pytest.raises(SendRefused, match="not_allowed"):
                await other.client.delete_group(group)
            assert await owner.client.delete_group(group, send_id="delete") == 3
            for device in (owner, other):
                await device.until(lambda device=device: bool(device.told(ev.Ended)))  # type: ignore[misc]
                assert device.seqs() == [1, 2, 3]
                assert (await device.client.groups()).groups == []
            # Who was away gets the rest up to and with the deletion, then `ended`.
            async with reader(server, "user-3", kept) as back:
                await back.until(lambda: bool(back.told(ev.Ended)))
                assert back.seqs() == [2, 3]
            wire = await server.client("user-2")
            answer = await wire.asked("message", {"text": "late"}, "late", group=group, join=1)
            assert (answer["t"], answer["code"]) == ("refused", "membership_over")
            answer = await (await server.client("user-1")).asked("group.deleted", {}, "delete", group=group, join=1)
            assert (answer["t"], answer["seq"]) == ("accepted", 3)
            answer = await wire.asked("member.joined", {}, "again", group=group, join=0)
            assert (answer["t"], answer["code"]) == ("undecided", "not_taken")

    run(tmp_path, test)


def test_a_server_set_back_in_time_resets_whoever_is_past_it_and_goes_on(tmp_path: Path) -> None:
    async def body() -> None:
        data, copy, port = tmp_path / "server", tmp_path / "copy", free_port()
        async with contextlib.AsyncExitStack() as readers:
            async with served(data, port=port) as server:
                ahead = await readers.enter_async_context(reader(server, "user-1"))
                level = await readers.enter_async_context(reader(server, "user-2"))
                group = await ahead.client.create_group("g", members=["user-2"])
                quiet = await ahead.client.create_group("quiet", members=["user-2"])
                await ahead.client.send(group, "kept")
                await level.until(lambda: "kept" in level.texts())
            shutil.copytree(data, copy)
            async with served(data, port=port):
                await ahead.client.send(group, "lost")
                for device in (ahead, level):
                    await device.until(lambda device=device: "lost" in device.texts())  # type: ignore[misc]
            shutil.rmtree(data)
            shutil.copytree(copy, data)
            async with served(data, port=port):
                for device in (ahead, level):
                    await device.until(lambda device=device: bool(device.told(ev.Reset)))  # type: ignore[misc]
                # Another entry takes the number of the lost one: the marks tell them apart, not the numbers.
                await ahead.client.send(group, "anew")
                for device in (ahead, level):
                    await device.until(lambda device=device: "anew" in device.texts())  # type: ignore[misc]
                    assert {event.group for event in device.told(ev.Reset)} == {group}
                    assert quiet not in {event.group for event in device.told(ev.Reset)}
                await readers.aclose()

    asyncio.run(body())


def test_a_send_over_its_bound_is_refused_before_it_leaves(tmp_path: Path) -> None:
    async def test(server: Served) -> None:
        async with reader(server, "user-1") as one:
            group = await one.client.create_group("g")
            await one.until(lambda: len(one.entries) == 1)
            with pytest.raises(SendRefused, match="too_long"):
                await one.client.send(group, "x" * 8_001)

    run(tmp_path, test)


def _copy_database(source: Path, target: Path) -> None:
    for path in source.parent.glob(source.name + "*"):
        shutil.copy(path, target.parent / path.name.replace(source.name, target.name))
