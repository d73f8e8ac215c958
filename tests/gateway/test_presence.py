"""Who is here, told to delivery before anything rests on it, and taken back when the last connection goes."""

import asyncio

import msgspec
import pytest

from folkmoot.backends.memory.bus import MemoryBus
from folkmoot.gateway import presence as presences
from folkmoot.gateway.presence import Presence
from folkmoot.ports.bus import Reply
from folkmoot.ports.subjects import Announced, Online


class Owner:
    def __init__(self, bus: MemoryBus) -> None:
        self.heard: list[Online] = []
        bus.subscribe("online.*", self._hear)

    def _hear(self, raw: bytes, reply: Reply | None) -> None:
        self.heard.append(msgspec.msgpack.decode(raw, type=Online))
        if reply is not None:
            reply(msgspec.msgpack.encode(Announced("one")))


def test_a_user_is_told_of_once_however_many_connections_wait_for_it() -> None:
    async def run() -> None:
        bus = MemoryBus()
        owner, presence = Owner(bus), Presence("edge", bus)
        for _ in range(3):
            presence.add("u")
        assert await asyncio.gather(*(presence.told("u") for _ in range(3))) == [True] * 3
        assert owner.heard == [Online("edge", ["u"])]
        # Known now, with no task kept for it: there is one such for every user who is here.
        assert presence._told == {"u": None}
        assert await presence.told("u")
        presence.remove("u")
        presence.remove("u")
        await presence.tell_gone()
        assert presence.users() == ["u"]
        presence.remove("u")
        await presence.tell_gone()
        assert owner.heard[1:] == [Online("edge", [], ["u"])]
        assert presence.users() == []

    asyncio.run(run())


def test_everyone_is_told_of_again_and_who_came_back_is_not_gone() -> None:
    async def run() -> None:
        bus = MemoryBus()
        owner, presence = Owner(bus), Presence("edge", bus)
        presence.add("u")
        presence.remove("u")
        presence.add("u")
        presence.add("v")
        await presence.tell_all()
        told = {user for online in owner.heard for user in online.users}
        assert told == {"u", "v"}
        assert not any(online.gone for online in owner.heard)

    asyncio.run(run())


def test_one_who_gives_up_waiting_leaves_nobody_else_waiting() -> None:
    async def run() -> None:
        bus = MemoryBus()
        presence = Presence("edge", bus)
        presence.add("u")
        first = asyncio.create_task(presence.told("u"))
        await asyncio.sleep(0)
        second = asyncio.create_task(presence.told("u"))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        owner = Owner(bus)
        await presence.tell_all()
        async with asyncio.timeout(presences.ONLINE_TIMEOUT_S + 3):
            await second
        assert owner.heard

    asyncio.run(run())


@pytest.mark.parametrize("again", [False, True])
def test_one_who_comes_back_while_others_are_told_of_is_not_taken_for_gone(again: bool) -> None:
    async def run() -> None:
        bus = MemoryBus()
        owner, presence = Owner(bus), Presence("edge", bus)
        users = [f"u{number}" for number in range(20)]
        for user in users:
            presence.add(user)
            presence.remove(user)
        telling = asyncio.create_task(presence.tell_all() if again else presence.tell_gone())
        while not owner.heard:  # noqa: ASYNC110
            await asyncio.sleep(0)
        told = {user for online in owner.heard for user in online.gone}
        late = next(user for user in users if user not in told)
        presence.add(late)
        assert await presence.told(late)
        await telling
        assert late not in {user for online in owner.heard for user in online.gone}
        assert {user for online in owner.heard for user in online.gone} == set(users) - {late}

    asyncio.run(run())
