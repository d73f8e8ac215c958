"""A crowd: what it notes is what happened, a guest owes no more than it heard of, and who is late is named."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from folkmoot.checker.crowd import Crowd, CrowdSettings
from folkmoot.client import Batch, Client, Received
from folkmoot.testing.served import Served, served

WAIT_S_MAX = 20.0
SETTINGS = CrowdSettings(clients=5, groups=2, members=3, sends_per_s=200.0, comings_per_s=40.0)


class Forgetful(Client):
    """A client that drops the third entry it hears."""

    heard = 0

    async def batches(self) -> AsyncIterator[Batch]:
        async for batch in super().batches():
            kept = []
            for item in batch.items:
                self.heard += isinstance(item, Received)
                if self.heard != 3 or not isinstance(item, Received):
                    kept.append(item)
            yield Batch(kept)


def run(
    tmp_path: Path,
    test: Callable[[Crowd, Served], Awaitable[None]],
    settings: CrowdSettings = SETTINGS,
    kind: type[Client] = Client,
) -> None:
    async def body() -> None:
        async with asyncio.timeout(WAIT_S_MAX), served(tmp_path / "server") as server:

            def client(user: str) -> Client:
                made = kind if user == "t-user-1" else Client
                return made(server.url, server.token(user), fresh="join")

            crowd = Crowd(client, settings, random.Random(1))
            await crowd.open("t")
            try:
                await test(crowd, server)
            finally:
                await crowd.close()

    asyncio.run(body())


async def talk_until(crowd: Crowd, condition: Callable[[], bool]) -> None:
    talk = asyncio.create_task(crowd.talk())
    while not condition():
        assert not talk.done()
        await asyncio.sleep(0.01)
    talk.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await talk


def kinds_of(crowd: Crowd) -> set[str]:
    return {entry.kind for entry in crowd.history.applied}


def test_a_talk_with_comings_and_goings_is_clean(tmp_path: Path) -> None:
    async def test(crowd: Crowd, _: Served) -> None:
        await talk_until(crowd, lambda: {"member.added", "member.removed"} <= kinds_of(crowd))
        assert await crowd.probe(WAIT_S_MAX)
        assert await crowd.settle(WAIT_S_MAX) == []
        verdict = crowd.judge()
        assert verdict.lines() == []
        # A guest who has just been removed may have had a message on its way.
        refused = {(a.group, a.sender, a.send_id) for a in crowd.history.answered if a.seq is None}
        asked = {(a.group, a.sender, a.send_id) for a in crowd.history.asked}
        assert verdict.acknowledged == len(asked - refused)
        assert verdict.deliveries == len(crowd.history.applied) > verdict.acknowledged

    run(tmp_path, test)


def test_who_drops_an_entry_is_found(tmp_path: Path) -> None:
    async def test(crowd: Crowd, _: Served) -> None:
        await talk_until(crowd, lambda: len(crowd.history.applied) > 50)
        await crowd.settle(WAIT_S_MAX)
        assert crowd.judge().counts["missing"] >= 1

    settings = CrowdSettings(clients=3, groups=1, members=3, sends_per_s=200.0, comings_per_s=0.0)
    run(tmp_path, test, settings, Forgetful)


def test_who_is_behind_is_named_when_the_time_is_over(tmp_path: Path) -> None:
    async def test(crowd: Crowd, server: Served) -> None:
        group = crowd.history.answered[0].group
        # Said to be acknowledged, and not in the log: nobody will ever have it.
        crowd._groups[group].last_seq = 99
        assert not await crowd.probe(0.2)
        assert sorted(line for line in await crowd.settle(0.1) if "of 99" in line)

    run(tmp_path, test)
