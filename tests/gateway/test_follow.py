"""What a member is told of a group: positions, snapshots, joins, ends, resets, catching up, and falling behind."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import msgspec
import pytest

from folkmoot.backends.memory.disk import Disk
from folkmoot.backends.memory.store import MemoryStore
from folkmoot.gateway.service import GatewaySettings
from folkmoot.model.ids import group_id
from folkmoot.model.position import Position, parse_position
from folkmoot.ports.store import GroupView, Mark, StoreAway
from folkmoot.protocol import events as ev
from folkmoot.testing.edge import Edge, Talker

OWNER, OTHER = "user-1", "user-2"


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(test)


async def a_group(owner: Talker, *members: str, send_id: str = "make", **body: Any) -> str:
    answer = await owner.asked("", "group.created", {"name": "g", "members": members} | body, send_id, join=0)
    assert isinstance(answer, ev.Accepted), answer
    return answer.group


async def say(talker: Talker, group: str, *send_ids: str, join: int = 1) -> int:
    seq = 0
    for send_id in send_ids:
        answer = await talker.asked(group, "message", {"text": send_id}, send_id, join=join)
        assert isinstance(answer, ev.Accepted), answer
        seq = answer.seq
    return seq


async def heard(talker: Talker, group: str, seq: int) -> None:
    await talker.until(lambda: seq in talker.seqs(group))


async def who_left_after_joining(edge: Edge) -> tuple[Talker, str, str]:
    """The owner, the group, and the position of another member whose connection was lost right after joining."""
    owner, other = await edge.member(OWNER), await edge.member(OTHER)
    group = await a_group(owner, OTHER)
    await heard(other, group, 1)
    position = other.all(ev.EntryEvent)[-1].position
    other.drop()
    return owner, group, position


def an_edge(test: Callable[[Edge], Awaitable[None]], **fields: Any) -> None:
    async def body() -> None:
        async with Edge(MemoryStore(Disk(), bucket_size=8), **fields) as edge:
            await test(edge)

    asyncio.run(body())


def test_a_group_made_and_written_to_reaches_its_members_live() -> None:
    async def test(edge: Edge) -> None:
        owner, other = await edge.member(OWNER), await edge.member(OTHER)
        group = await a_group(owner, OTHER)
        assert group == group_id(OWNER, "make")
        await say(owner, group, *"abcdefghij")
        for talker in (owner, other):
            await heard(talker, group, 11)
            assert talker.seqs(group) == list(range(1, 12))
            joined = talker.all(ev.JoinedEvent)
            assert [(event.seq, event.join) for event in joined] == [(0, 1)]

    an_edge(test)


def test_a_position_goes_on_with_exactly_what_was_missed_then_recovered() -> None:
    async def test(edge: Edge) -> None:
        owner, other = await edge.member(OWNER), await edge.member(OTHER)
        group = await a_group(owner, OTHER)
        await say(owner, group, "a", "b")
        await heard(other, group, 3)
        position = other.all(ev.EntryEvent)[-1].position
        other.drop()
        await say(owner, group, "c", "d")
        back = await edge.talker(OTHER)
        await back.resume({group: position})
        assert back.story(group) == ["4", "5", "recovered"]
        await say(owner, group, "e")
        await heard(back, group, 6)
        assert back.seqs(group) == [4, 5, 6]

    an_edge(test)


def test_without_a_position_a_member_gets_a_snapshot_at_the_head_that_names_no_members() -> None:
    async def test(edge: Edge) -> None:
        owner = await edge.member(OWNER)
        group = await a_group(owner, OTHER)
        await say(owner, group, "a", "b", "c")
        other = await edge.member(OTHER)
        snapshot = other.all(ev.Snapshot)[0]
        assert (snapshot.seq, snapshot.members, snapshot.join, snapshot.unread) == (4, 2, 1, 3)
        assert other.story(group) == ["snapshot", "recovered"]
        mine = await edge.talker(OWNER)
        await mine.resume()
        assert mine.all(ev.Snapshot)[0].unread == 0  # An accepted send moves its sender's pointer.

    an_edge(test)


def test_removed_while_away_gets_the_rest_up_to_the_removal_and_then_the_group_is_gone() -> None:
    async def test(edge: Edge) -> None:
        owner, group, position = await who_left_after_joining(edge)
        await say(owner, group, "a")
        await owner.asked(group, "member.removed", {"user": OTHER}, "r")
        await say(owner, group, "b")
        back = await edge.talker(OTHER)
        await back.resume({group: position})
        assert back.story(group) == ["2", "3", "ended"]
        again = await edge.talker(OTHER)
        await again.resume({group: back.all(ev.EntryEvent)[-1].position, "gnone": position})
        assert [(e.code, e.ref) for e in again.all(ev.Failed)] == [("no_such_group", group), ("no_such_group", "gnone")]

    an_edge(test)


def test_added_again_gets_joined_with_the_number_before_and_nothing_from_between() -> None:
    async def test(edge: Edge) -> None:
        owner, group, position = await who_left_after_joining(edge)
        for n in range(2):
            await owner.asked(group, "member.removed", {"user": OTHER}, f"r{n}")
            await say(owner, group, f"between{n}")
            await owner.asked(group, "member.added", {"users": [OTHER]}, f"a{n}")
        await say(owner, group, "z")
        back = await edge.talker(OTHER)
        await back.resume({group: position})
        # 2 removed, 3 between, 4 added, 5 removed, 6 between, 7 added, 8 said.
        assert back.story(group) == ["2", "ended", "joined", "4", "5", "ended", "joined", "7", "8", "recovered"]
        assert [(event.seq, event.join) for event in back.all(ev.JoinedEvent)] == [(3, 4), (6, 7)]

    an_edge(test)


@pytest.mark.parametrize(("away_from", "expected"), [(1, ["2", "ended", "joined", "3"]), (2, ["joined", "3"])])
def test_added_again_at_once_is_told_so_though_no_number_is_skipped(away_from: int, expected: list[str]) -> None:
    async def test(edge: Edge) -> None:
        owner, other = await edge.member(OWNER), await edge.member(OTHER)
        group = await a_group(owner, OTHER)
        await heard(other, group, 1)
        if away_from == 1:
            other.drop()
        await owner.asked(group, "member.removed", {"user": OTHER}, "r")
        if away_from == 2:
            await heard(other, group, 2)
            other.drop()
        position = other.all(ev.EntryEvent)[-1].position
        await owner.asked(group, "member.added", {"users": [OTHER]}, "a")
        back = await edge.talker(OTHER)
        await back.resume({group: position})
        assert back.story(group) == [*expected, "recovered"]
        assert [(event.seq, event.join) for event in back.all(ev.JoinedEvent)] == [(2, 3)]

    an_edge(test)


def test_the_same_while_online() -> None:
    async def test(edge: Edge) -> None:
        owner, other = await edge.member(OWNER), await edge.member(OTHER)
        group = await a_group(owner, OTHER)
        await heard(other, group, 1)
        await owner.asked(group, "member.removed", {"user": OTHER}, "r")
        await say(owner, group, "between")
        await owner.asked(group, "member.added", {"users": [OTHER]}, "a")
        await say(owner, group, "z")
        await heard(other, group, 5)
        assert other.seqs(group) == [1, 2, 4, 5]
        assert [word for word in other.story(group) if not word.isdigit()] == [
            "joined", "recovered", "ended", "joined", "recovered",
        ]  # fmt: skip

    an_edge(test)


@pytest.mark.parametrize("history", ["join", "all"])
def test_a_newcomer_reads_back_to_the_join_or_to_the_start(history: str) -> None:
    async def test(edge: Edge) -> None:
        owner = await edge.member(OWNER)
        group = await a_group(owner, history=history)
        await say(owner, group, "a", "b")
        await owner.asked(group, "member.added", {"users": [OTHER]}, "add")
        other = await edge.member(OTHER, fresh="join")
        assert other.seqs(group) == [4]
        other.say(ev.Read(ref="1", group=group))
        page = await other.wait(ev.Page)
        assert [entry.seq for entry in page.entries] == ([4] if history == "join" else [1, 2, 3, 4])
        assert not page.more
        beginning = str(Position(1, 0, b"\0" * 8))
        again = await edge.talker(OTHER)
        await again.resume({group: beginning})
        assert "reset" in again.story(group)  # No position of this log, whatever the history.

    an_edge(test)


@pytest.mark.parametrize("change", [{"seq": 99}, {"mark": b"12345678"}, {"epoch": 7, "seq": 99}])
def test_a_position_that_is_not_of_this_log_is_reset_and_counted(change: dict[str, Any]) -> None:
    async def test(edge: Edge) -> None:
        owner = await edge.member(OWNER)
        group = await a_group(owner)
        await say(owner, group, "a")
        await heard(owner, group, 2)
        good = parse_position(owner.all(ev.EntryEvent)[-1].position)
        fields: dict[str, Any] = {"epoch": good.epoch, "seq": good.seq, "mark": good.mark} | change
        back = await edge.talker(OWNER)
        await back.resume({group: str(Position(**fields))})
        assert back.story(group) == ["reset", "snapshot", "recovered"]
        assert edge.gateway.resets == 1

    an_edge(test)


class SetBackAndForth(MemoryStore):
    """A store that, asked for marks, is one after another what `moments` says: another log, or away; then itself."""

    def __init__(self) -> None:
        super().__init__(Disk(), bucket_size=8)
        self.moments: list[str] = []

    async def mark(self, group: str, seq: int) -> Mark | None:
        moment = self.moments.pop(0) if self.moments else ""
        if moment == "away":
            raise StoreAway("set back")
        return None if moment == "other" else await super().mark(group, seq)


@pytest.mark.parametrize(
    ("moments", "expected"),
    [
        (["other", "other", "away"], ["recovered"]),
        (["other", "other", "away", "other", "other"], ["reset", "snapshot", "recovered"]),
    ],
)
def test_a_store_that_goes_away_before_a_reset_has_its_snapshot_is_judged_anew_and_nothing_was_said(
    moments: list[str], expected: list[str]
) -> None:
    async def body() -> None:
        store = SetBackAndForth()
        async with Edge(store) as edge:
            owner = await edge.member(OWNER)
            group = await a_group(owner)
            await say(owner, group, "a")
            await heard(owner, group, 2)
            back = await edge.talker(OWNER)
            store.moments = list(moments)
            await back.resume({group: owner.all(ev.EntryEvent)[-1].position})
            assert back.story(group) == expected
            assert edge.gateway.resets == expected.count("reset")
            assert not store.moments

    run(body())


def test_a_position_of_another_epoch_with_the_right_mark_goes_on() -> None:
    async def test(edge: Edge) -> None:
        owner = await edge.member(OWNER)
        group = await a_group(owner)
        await say(owner, group, "a", "b")
        await heard(owner, group, 3)
        good = parse_position(owner.all(ev.EntryEvent)[0].position)
        back = await edge.talker(OWNER)
        await back.resume({group: str(Position(9, good.seq, good.mark))})
        assert back.story(group) == ["2", "3", "recovered"]

    an_edge(test)


def test_a_catch_up_waits_for_the_clients_window() -> None:
    async def test(edge: Edge) -> None:
        owner = await edge.member(OWNER)
        group = await a_group(owner, OTHER)
        await heard(owner, group, 1)
        position = owner.all(ev.EntryEvent)[0].position
        await say(owner, group, *(f"m{n}" for n in range(250)))
        other = await edge.talker(OTHER, window=100)
        other.say(ev.Resume(groups={group: position}))
        await heard(other, group, 101)
        await edge.gateway.store.head(group)
        assert other.seqs(group)[-1] == 101
        other.say(ev.Ack(groups={group: 101}))
        await heard(other, group, 201)
        other.say(ev.Ack(groups={group: 201}))
        await other.wait(ev.Recovered)
        assert other.seqs(group) == list(range(2, 252))

    generous = GatewaySettings(sends_per_s=10_000, sends_burst=10_000, events_burst=10_000)
    an_edge(test, gateway=generous)


def test_a_page_never_goes_over_a_small_window() -> None:
    async def test(edge: Edge) -> None:
        owner = await edge.member(OWNER)
        group = await a_group(owner, OTHER)
        await heard(owner, group, 1)
        position = owner.all(ev.EntryEvent)[0].position
        await say(owner, group, *(f"m{n}" for n in range(50)))
        other = await edge.talker(OTHER, window=7)
        other.say(ev.Resume(groups={group: position}))
        for acked in range(1, 51, 7):
            other.say(ev.Ack(groups={group: acked}))
            await heard(other, group, min(acked + 7, 51))
            await edge.gateway.store.head(group)
            assert other.seqs(group)[-1] == min(acked + 7, 51)
        await other.wait(ev.Recovered)
        assert other.seqs(group) == list(range(2, 52))

    an_edge(test)


def test_a_slow_reader_leaves_the_feed_is_told_so_and_misses_nothing() -> None:
    async def test(edge: Edge) -> None:
        owner, other = await edge.member(OWNER), await edge.member(OTHER)
        group = await a_group(owner, OTHER)
        await heard(other, group, 1)
        await other.wait(ev.Recovered)
        other.outlet.stop_reading(high_water_bytes=2_000)
        await say(owner, group, *(f"m{n}" for n in range(60)))
        feed = edge.gateway.feeds.get(group)
        assert feed is not None
        assert feed.members_count() == 1
        assert other.outlet.buffered() < 4_000  # Bounded: what the feed wrote before the mark was passed.
        other.outlet.read_on()
        await heard(other, group, 61)
        await other.wait(ev.Recovered, 2)
        assert other.seqs(group) == list(range(1, 62))
        assert other.count(ev.Behind) == 1
        assert edge.gateway.fell_behind == 1
        assert feed.members_count() == 2

    generous = GatewaySettings(sends_per_s=10_000, sends_burst=10_000)
    an_edge(test, gateway=generous)


def test_two_devices_of_a_user_both_get_everything_and_share_a_read_pointer() -> None:
    async def test(edge: Edge) -> None:
        owner, phone, desk = await edge.member(OWNER), await edge.member(OTHER), await edge.member(OTHER)
        group = await a_group(owner, OTHER)
        await say(owner, group, "a", "b")
        for device in (phone, desk):
            await heard(device, group, 3)
            assert device.seqs(group) == [1, 2, 3]
        phone.say(ev.MarkRead(group=group, seq=2))
        pointer = await desk.wait(ev.Pointer)
        assert (pointer.read, pointer.unread) == (2, 1)

    an_edge(test, gateway=GatewaySettings(tick_s=0.01))


def test_a_pointer_moved_where_the_group_is_over_is_not_taken_for_the_answer_to_a_resume() -> None:
    async def test(edge: Edge) -> None:
        owner, other = await edge.member(OWNER), await edge.member(OTHER)
        group = await a_group(owner, OTHER)
        await say(owner, group, "a")
        await heard(other, group, 2)
        position = other.all(ev.EntryEvent)[0].position
        assert isinstance(await owner.asked(group, "member.removed", {"user": OTHER}, "out"), ev.Accepted)
        await other.wait(ev.Ended)
        await other.resume()  # By then nothing is being brought up.
        # It has yet to read that, asks for what it lacks, and has read what it has.
        other.say(ev.MarkRead(group=group, seq=1))
        other.say(ev.Resume(groups={group: position}))
        await other.wait(ev.Ended, 2)
        assert [failed.code for failed in other.all(ev.Failed)] == ["no_such_entry"]
        assert other.seqs(group) == [1, 2, 3, 2, 3]

    an_edge(test)


def test_a_resume_of_a_live_group_starts_it_again_from_there() -> None:
    async def test(edge: Edge) -> None:
        owner = await edge.member(OWNER)
        group = await a_group(owner)
        await owner.wait(ev.Recovered)
        first = owner.all(ev.EntryEvent)[0].position
        await say(owner, group, "a")
        owner.say(ev.Resume(groups={group: first}))
        await owner.wait(ev.Recovered, 2)
        await say(owner, group, "b")
        await heard(owner, group, 3)
        assert owner.seqs(group) == [1, 2, 2, 3]

    an_edge(test)


def test_a_resume_of_the_group_being_brought_up_takes_its_place() -> None:
    async def test(edge: Edge) -> None:
        owner = await edge.member(OWNER)
        group = await a_group(owner, OTHER)
        await heard(owner, group, 1)
        position = owner.all(ev.EntryEvent)[0].position
        await say(owner, group, *(f"m{n}" for n in range(250)))
        other = await edge.talker(OTHER, window=100)
        other.say(ev.Resume(groups={group: position}))
        await heard(other, group, 101)
        # It waits for an acknowledgement; the client, which lacks 2 to 60 say, asks anew instead of giving one.
        at_60 = next(event.position for event in other.all(ev.EntryEvent) if event.seq == 60)
        other.say(ev.Resume(groups={group: at_60}))
        await other.until(lambda: other.seqs(group).count(61) == 2)
        await heard(other, group, 160)
        other.say(ev.MarkRead(group=group, seq=100))
        other.say(ev.Ack(groups={group: 160}))
        await heard(other, group, 251)
        await other.wait(ev.Recovered)
        assert other.count(ev.Failed) == 0
        assert other.seqs(group) == [*range(2, 102), *range(61, 252)]
        await other.wait(ev.Pointer)

    generous = GatewaySettings(sends_per_s=10_000, sends_burst=10_000, events_burst=10_000, tick_s=0.01)
    an_edge(test, gateway=generous)


def test_of_two_resumes_of_a_group_only_the_last_is_answered() -> None:
    async def test(edge: Edge) -> None:
        owner = await edge.member(OWNER)
        group = await a_group(owner, OTHER)
        await say(owner, group, *"abcdef")
        await heard(owner, group, 7)
        at_5 = next(event.position for event in owner.all(ev.EntryEvent) if event.seq == 5)
        other = await edge.talker(OTHER, window=2)
        # From its join it would be sent what it has, acknowledge none of that, and be waited for.
        other.say(ev.Resume(groups={group: ""}, fresh="join"))
        other.say(ev.Resume(groups={group: at_5}, fresh="join"))
        await heard(other, group, 7)
        other.say(ev.Ack(groups={group: 7}))
        await other.wait(ev.Recovered)
        assert other.seqs(group) == [6, 7]

    an_edge(test)


def test_whoever_is_live_where_the_store_set_back_has_no_membership_is_told_that_it_is_over() -> None:
    async def test(edge: Edge) -> None:
        owner = await edge.member(OWNER)
        group = await a_group(owner)
        await owner.wait(ev.Recovered)
        feed = edge.gateway.feeds.get(group)
        assert feed is not None
        edge.gateway.store = MemoryStore(Disk())
        feed.end()
        ended = await owner.wait(ev.Ended)
        assert (ended.group, ended.seq) == (group, 1)
        assert owner.count(ev.Failed) == 0

    an_edge(test)


class AwayOnceAtTheEnd(MemoryStore):
    """A store that, from when it is told to, is away the second time that a membership is looked at."""

    def __init__(self) -> None:
        super().__init__(Disk(), bucket_size=8)
        self.views_left: int | None = None

    async def view(self, group: str, user: str) -> GroupView | None:
        if self.views_left is not None:
            self.views_left -= 1
            if self.views_left == 0:
                raise StoreAway
        return await super().view(group, user)


def test_a_store_that_is_away_once_the_removal_was_sent_does_not_change_that_it_is_told_as_ended() -> None:
    async def test() -> None:
        store = AwayOnceAtTheEnd()
        async with Edge(store) as edge:
            owner, group, position = await who_left_after_joining(edge)
            await owner.asked(group, "member.removed", {"user": OTHER}, "r")
            back = await edge.talker(OTHER)
            store.views_left = 2
            await back.resume({group: position})
            assert store.views_left <= 0
            assert back.story(group) == ["2", "ended"]
            assert back.count(ev.Failed) == 0

    run(test())


class SetBackBeforeTheJoin(MemoryStore):
    """A store that, from when it is told to, is away for the next mark, and then is one from before the last join."""

    def __init__(self) -> None:
        super().__init__(Disk(), bucket_size=8)
        self.moment = ""

    async def mark(self, group: str, seq: int) -> Mark | None:
        if self.moment == "armed" and seq > 1:
            self.moment = "set back"
            raise StoreAway
        return await super().mark(group, seq)

    async def view(self, group: str, user: str) -> GroupView | None:
        view = await super().view(group, user)
        if view is None or self.moment != "set back":
            return view
        return msgspec.structs.replace(view, memberships=view.memberships[:-1])


def test_an_end_is_told_once_though_the_store_is_away_and_set_back_before_the_next_membership_is_told() -> None:
    async def test() -> None:
        store = SetBackBeforeTheJoin()
        async with Edge(store) as edge:
            owner, group, position = await who_left_after_joining(edge)
            await owner.asked(group, "member.removed", {"user": OTHER}, "r")
            await say(owner, group, "between")
            await owner.asked(group, "member.added", {"users": [OTHER]}, "a")
            back = await edge.talker(OTHER)
            store.moment = "armed"
            await back.resume({group: position})
            assert store.moment == "set back"
            assert back.story(group) == ["2", "ended"]

    run(test())


class ListedWhenTold(MemoryStore):
    """A store whose lists of a user's groups come only once `told` is set."""

    def __init__(self) -> None:
        super().__init__(Disk(), bucket_size=8)
        self.told = asyncio.Event()
        self.asked = asyncio.Event()

    async def groups_of(self, user: str, *, after: str, rows_max: int) -> list[str]:
        groups = await super().groups_of(user, after=after, rows_max=rows_max)
        self.asked.set()
        await self.told.wait()
        return groups


def test_a_group_whose_feed_broke_while_the_others_are_listed_goes_on_from_its_place() -> None:
    async def test(edge: Edge, store: ListedWhenTold) -> None:
        store.told.set()
        owner, other = await edge.member(OWNER), await edge.member(OTHER)
        group = await a_group(owner, OTHER)
        await say(owner, group, "a")
        await heard(other, group, 2)
        position = other.all(ev.EntryEvent)[-1].position
        back = await edge.talker(OTHER)
        store.told.clear()
        store.asked.clear()
        back.say(ev.Resume(groups={group: position}, others=True, fresh="join"))
        await back.wait(ev.Recovered)
        await store.asked.wait()
        feed = edge.gateway.feeds.get(group)
        assert feed is not None
        feed.end()
        store.told.set()
        assert (await back.wait(ev.ResumeDone)).groups == 1
        await say(owner, group, "b")
        await heard(back, group, 3)
        assert back.story(group) == ["recovered", "recovered", "3"]

    async def body() -> None:
        store = ListedWhenTold()
        async with Edge(store) as edge:
            await test(edge, store)

    run(body())
