"""What waits to be brought up on one connection: a wish a group, in order, bounded, and nothing is lost by that."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from folkmoot.backends.memory.disk import Disk
from folkmoot.backends.memory.store import MemoryStore
from folkmoot.gateway import follow
from folkmoot.protocol import events as ev
from folkmoot.testing.edge import Edge, Talker

OWNER, OTHER = "user-1", "user-2"


def an_edge(test: Callable[[Edge], Awaitable[None]], **fields: Any) -> None:
    async def body() -> None:
        async with Edge(MemoryStore(Disk(), bucket_size=8), **fields) as edge:
            await test(edge)

    asyncio.run(body())


async def a_group(owner: Talker, send_id: str, *members: str) -> str:
    answer = await owner.asked("", "group.created", {"name": "g", "members": members}, send_id, join=0)
    assert isinstance(answer, ev.Accepted), answer
    return answer.group


async def ask(owner: Talker, group: str, kind: str, body: object, send_id: str) -> int:
    answer = await owner.asked(group, kind, body, send_id)
    assert isinstance(answer, ev.Accepted), answer
    return answer.seq


async def at(talker: Talker, group: str, seq: int) -> str:
    """The position of whoever has the group's entry `seq`, once the talker has it."""
    await talker.until(lambda: seq in talker.seqs(group))
    return next(e.position for e in talker.all(ev.EntryEvent) if (e.group, e.seq) == (group, seq))


async def who_waits(edge: Edge, *, others: bool = True) -> tuple[Talker, Talker, str]:
    """The owner, and a member who has been sent entry 2 of the group, has yet to acknowledge it, and lacks entry 3."""
    owner = await edge.member(OWNER)
    group = await a_group(owner, "first", OTHER)
    position = await at(owner, group, 1)
    for send_id in ("a", "b"):
        await ask(owner, group, "message", {"text": send_id}, send_id)
    other = await edge.talker(OTHER, window=1)
    other.say(ev.Resume(groups={group: position}, others=others, fresh="join"))
    await at(other, group, 2)
    return owner, other, group


async def take_all(other: Talker, until: Callable[[], bool]) -> None:
    """Acknowledge each entry as it comes, until that holds."""

    def acknowledged() -> bool:
        # Of a group that is over, and of another membership, too: who takes all acknowledges all.
        other.say(ev.Ack(groups={event.group: event.seq for event in other.all(ev.EntryEvent)}))
        return until()

    await other.until(acknowledged)


async def hinted_at(device: Talker, *groups: str) -> None:
    """The user's connections have been told of these groups, since another device of theirs has."""
    for group in groups:
        await device.until(lambda group=group: group in [event.group for event in device.all(ev.JoinedEvent)])  # type: ignore[misc]


def waiting(talker: Talker) -> int:
    return talker.connection._follower.waiting


def test_what_waits_does_not_grow_with_hints_sweeps_and_requests_for_the_others() -> None:
    async def test(edge: Edge) -> None:
        owner, other, group = await who_waits(edge)
        desk = await edge.member(OTHER)
        groups = [await a_group(owner, f"more{n}", OTHER) for n in range(5)]
        await hinted_at(desk, *groups)
        for _ in range(3):
            await edge.gateway._reread_groups(OTHER)
            for one in (*groups, group):
                other.connection.added(one)
            other.say(ev.Resume(groups={}, others=True, fresh="join"))
        # The others, five groups, and the first once more: that it is being brought up may have begun before a hint.
        assert waiting(other) == 7
        await take_all(other, lambda: other.count(ev.ResumeDone) == 1)
        assert other.all(ev.ResumeDone)[0].groups == 6
        assert all(other.seqs(one) == [1] for one in groups)
        assert other.story(group) == ["2", "3", "recovered"]
        assert waiting(other) == 0

    an_edge(test)


@pytest.mark.parametrize("hint_first", [True, False])
def test_where_the_client_says_it_stands_takes_the_place_of_a_hint(hint_first: bool) -> None:
    async def test(edge: Edge) -> None:
        owner, other, _ = await who_waits(edge)
        second = await a_group(owner, "second", OTHER)
        await ask(owner, second, "message", {"text": "a"}, "second-a")
        position = await at(owner, second, 1)
        if hint_first:
            other.connection.added(second)
        other.say(ev.Resume(groups={second: position}))
        other.connection.added(second)
        await take_all(other, lambda: second in [event.group for event in other.all(ev.Recovered)])
        await other.resume()
        assert other.story(second) == ["2", "recovered"]

    an_edge(test)


def test_a_group_that_is_left_and_joined_again_while_it_is_brought_up_is_live_in_the_end() -> None:
    async def test(edge: Edge) -> None:
        owner, other, group = await who_waits(edge)
        other.connection.added(group)
        await ask(owner, group, "member.removed", {"user": OTHER}, "out")
        await ask(owner, group, "member.added", {"users": [OTHER]}, "in")
        for _ in range(2):
            other.connection.added(group)
        await take_all(other, lambda: other.count(ev.ResumeDone) == 1)
        assert other.story(group) == ["2", "3", "4", "ended", "joined", "5", "recovered"]
        await ask(owner, group, "message", {"text": "c"}, "c")
        await at(other, group, 6)

    an_edge(test)


def test_a_group_that_is_joined_again_after_its_end_was_told_is_live_in_the_end() -> None:
    async def test(edge: Edge) -> None:
        owner, other, group = await who_waits(edge)
        other.connection.added(group)  # It waits by then, for what is over.
        await ask(owner, group, "member.removed", {"user": OTHER}, "out")
        await take_all(other, lambda: other.count(ev.Ended) == 1)
        await ask(owner, group, "member.added", {"users": [OTHER]}, "in")
        await take_all(other, lambda: other.count(ev.Recovered) == 1)
        assert other.story(group) == ["2", "3", "4", "ended", "joined", "5", "recovered"]

    an_edge(test)


def test_beyond_the_bound_a_request_is_refused_and_a_hint_left_to_the_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "WISHES_WAITING_MAX", 3)

    async def test(edge: Edge) -> None:
        owner, other, _ = await who_waits(edge, others=False)
        other.connection.follows_all = True
        groups = [await a_group(owner, f"more{n}") for n in range(5)]
        for n, one in enumerate(groups):
            await ask(owner, one, "member.added", {"users": [OTHER]}, f"in{n}")
        for one in groups:
            other.connection.added(one)
        assert [other.connection.follows(one) for one in groups] == [True] * 3 + [False] * 2
        other.say(ev.Resume(groups={groups[3]: "", groups[2]: ""}))
        assert [(failed.code, failed.ref) for failed in other.all(ev.Failed)] == [("too_many", groups[3])]
        await take_all(other, lambda: other.count(ev.Recovered) == 4)
        await edge.gateway._reread_groups(OTHER)
        await take_all(other, lambda: other.count(ev.Recovered) == 6)
        assert other.story(groups[4]) == ["joined", "2", "recovered"]
        # Named, it is told from the head, as its resume said.
        assert other.story(groups[2]) == ["snapshot", "recovered"]

    an_edge(test)


def test_those_that_a_slow_reader_was_live_in_wait_whatever_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "WISHES_WAITING_MAX", 1)

    async def test(edge: Edge) -> None:
        owner, other = await edge.member(OWNER), await edge.member(OTHER)
        groups = [await a_group(owner, f"make{n}", OTHER) for n in range(4)]
        for n in range(4):
            await other.wait(ev.Recovered, n + 1)
        other.outlet.stop_reading()
        other.connection.paused()
        await owner.resume()  # In the meantime it falls behind.
        for n, one in enumerate(groups):
            await ask(owner, one, "message", {"text": "a"}, f"say{n}")
        other.outlet.read_on()
        for one in groups:
            await at(other, one, 2)
        # Each went on from where it was: none was lost, and told of anew by a hint.
        assert other.count(ev.JoinedEvent) == 4

    an_edge(test)


def test_asked_for_the_others_again_before_that_is_done_the_answer_is_one_after_all_of_it() -> None:
    async def test(edge: Edge) -> None:
        owner, other, group = await who_waits(edge)
        second, third = await a_group(owner, "second", OTHER), await a_group(owner, "third", OTHER)
        for one in (second, third):
            other.connection.added(one)
        other.say(ev.Resume(groups={second: "", "gnone": ""}, others=True, fresh="head"))
        await take_all(other, lambda: other.count(ev.ResumeDone) == 1)
        assert [failed.ref for failed in other.all(ev.Failed)] == ["gnone"]
        assert other.all(ev.ResumeDone)[0].groups == 3
        assert [event.group for event in other.all(ev.Recovered)] == [group, third, second]
        assert isinstance(other.events[-1], ev.ResumeDone)
        other.say(ev.Resume(groups={}, others=True))
        await other.wait(ev.ResumeDone, 2)

    an_edge(test)


def test_what_the_client_lacks_is_sent_though_it_falls_behind_before_that_is_begun() -> None:
    async def test(edge: Edge) -> None:
        owner = await edge.member(OWNER)
        group = await a_group(owner, "make")
        position = await at(owner, group, 1)
        for n in range(3):
            await ask(owner, group, "message", {"text": "x"}, f"say{n}")
        await at(owner, group, 4)
        owner.outlet.stop_reading()
        owner.say(ev.Resume(groups={group: position}))
        owner.connection.paused()
        bystander = await edge.member(OTHER)
        assert bystander.connection.is_paused is False
        assert edge.gateway.fell_behind == 1
        owner.outlet.read_on()
        await owner.wait(ev.Recovered, 2)
        assert owner.seqs(group) == [1, 2, 3, 4, 2, 3, 4]

    an_edge(test)


def test_a_group_without_a_name_is_none() -> None:
    async def test(edge: Edge) -> None:
        other = await edge.talker(OTHER)
        other.say(ev.MarkRead(group="", seq=0))
        other.say(ev.Resume(groups={"": ""}))
        await other.wait(ev.Failed, 2)
        assert [failed.code for failed in other.all(ev.Failed)] == ["no_such_entry", "no_such_group"]

    an_edge(test)
