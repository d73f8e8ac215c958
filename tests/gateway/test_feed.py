"""A feed: order, gaps, removals, broken chains, and that a write that fails hurts nobody else."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from folkmoot.gateway.feed import WRITE_BYTES, Feed, FeedEnded
from folkmoot.gateway.outlet import Outlet
from folkmoot.model import body as bodies
from folkmoot.model.entry import Entry, genesis, sealed
from folkmoot.model.fold import ends_for
from folkmoot.model.group import Head
from folkmoot.model.ids import GroupId
from folkmoot.model.membership import Span
from folkmoot.model.position import Position
from folkmoot.ports.clock import SystemClock
from folkmoot.ports.store import StoreAway
from folkmoot.protocol.codec import JSON

GROUP = "g"


def entries_of(count: int, kinds: dict[int, tuple[str, str, dict[str, Any]]] | None = None) -> list[Entry]:
    before, log = genesis(GROUP), list[Entry]()
    for seq in range(1, count + 1):
        kind, sender, body = (kinds or {}).get(seq, ("message", "u", {"text": str(seq)}))
        entry = sealed(
            before, group=GROUP, epoch=1, seq=seq, kind=kind, sender=sender, device="d", send_id=str(seq), time_ms=0,
            messages=seq, body=msgspec.json.encode(body), salt=b"s",
        )  # fmt: skip
        log.append(entry)
        before = entry.hash
    return log


class LogStore:
    """The one read that a feed makes, on a list of entries."""

    def __init__(self, log: list[Entry]) -> None:
        self.log = log
        self.reads = 0
        self.away = 0

    async def read(self, group: GroupId, span: Span, *, entries_max: int, bytes_max: int) -> list[Entry]:
        self.reads += 1
        if self.away > 0:
            self.away -= 1
            raise StoreAway
        return [e for e in self.log if e.seq in span][:entries_max]


class FakeOutlet:
    wire = "fake"
    slot = -1
    codec = JSON
    peer = ""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.write: Callable[[bytes], None] = self.frames.append

    def frame(self, payload: bytes) -> bytes:
        return payload + b"\n"

    def buffered(self) -> int:
        return 0

    def ping(self) -> None: ...

    def close(self, code: int, reason: str) -> None: ...


class FakeMember:
    def __init__(self, user: str) -> None:
        self.fake = FakeOutlet()
        self.outlet: Outlet = self.fake
        self.user = user
        self.removed_at: list[int] = []
        self.ended_at: list[Position] = []

    def removed(self, group: GroupId, seq: int) -> None:
        self.removed_at.append(seq)

    def feed_ended(self, group: GroupId, position: Position) -> None:
        self.ended_at.append(position)

    def seqs(self) -> list[int]:
        return [seq for write in self.writes() for seq in write]

    def writes(self) -> list[list[int]]:
        """What came in each write."""
        return [[msgspec.json.decode(line)["seq"] for line in frames.splitlines()] for frames in self.fake.frames]


def head_at(log: list[Entry], seq: int) -> Head:
    hash_at = log[seq - 1].hash if seq else genesis(GROUP)
    return Head(epoch=1, writes=seq, seq=seq, hash=hash_at, messages=seq, room=10)


def a_feed(store: LogStore, seq: int) -> Feed:
    ended: list[Feed] = []
    feed = Feed(GROUP, store, SystemClock(), ended.append)  # type: ignore[arg-type]
    feed.start(head_at(store.log, seq))
    return feed


def test_entries_are_written_once_in_order_and_old_ones_dropped() -> None:
    async def run() -> None:
        log = entries_of(6)
        feed, one, two = a_feed(LogStore(log), 2), FakeMember("a"), FakeMember("b")
        feed.add(one)
        feed.add(two)
        feed.push(log[2:4])
        feed.push(log[1:5])
        feed.push(log[5:6])
        assert one.seqs() == two.seqs() == [3, 4, 5, 6]
        assert one.fake.frames[0] is two.fake.frames[0]  # Encoded once: the very same bytes.
        assert (feed.seq, feed.hash, feed.messages) == (6, log[5].hash, 6)

    asyncio.run(run())


def test_entries_that_come_together_are_one_write() -> None:
    async def run() -> None:
        log = entries_of(9)
        feed, one = a_feed(LogStore(log), 1), FakeMember("a")
        feed.add(one)
        feed.push(log[1:4])
        feed.push(log[4:5])
        feed.heard_head(9)
        await feed.bring_to(9)
        assert one.writes() == [[2, 3, 4], [5], [6, 7, 8, 9]]
        assert (feed.tally.deliveries, feed.tally.filled) == (8, 4)

    asyncio.run(run())


def test_what_is_written_together_has_a_bound() -> None:
    async def run() -> None:
        text = {"text": "x" * (WRITE_BYTES // 3)}
        log = entries_of(6, dict.fromkeys(range(2, 7), ("message", "a", text)))
        feed, one = a_feed(LogStore(log), 1), FakeMember("a")
        feed.add(one)
        feed.push(log[1:])
        assert one.writes() == [[2, 3, 4], [5, 6]]

    asyncio.run(run())


def test_many_short_entries_have_the_same_bound() -> None:
    async def run() -> None:
        log = entries_of(200)
        feed, one = a_feed(LogStore(log), 1), FakeMember("a")
        feed.add(one)
        feed.push(log[1:])
        assert one.seqs() == list(range(2, 201))
        assert max(map(len, one.fake.frames)) < 2 * WRITE_BYTES

    asyncio.run(run())


def test_a_gap_is_filled_by_one_read_however_many_notice() -> None:
    async def run() -> None:
        log = entries_of(9)
        store = LogStore(log)
        feed, one = a_feed(store, 2), FakeMember("a")
        feed.add(one)
        feed.push(log[6:7])
        feed.push(log[7:8])
        feed.heard_head(9)
        await feed.bring_to(9)
        assert one.seqs() == [3, 4, 5, 6, 7, 8, 9]
        assert store.reads == 1

    asyncio.run(run())


def test_a_store_that_is_away_delays_the_filling_only() -> None:
    async def run() -> None:
        log = entries_of(4)
        store = LogStore(log)
        store.away = 1
        feed, one = a_feed(store, 1), FakeMember("a")
        feed.add(one)
        feed.heard_head(4)
        await feed.bring_to(4)
        assert one.seqs() == [2, 3, 4]

    asyncio.run(run())


def test_what_was_pushed_before_the_feed_had_a_head_is_not_missed() -> None:
    async def run() -> None:
        log = entries_of(5)
        store = LogStore(log)
        feed = Feed(GROUP, store, SystemClock(), lambda _: None)  # type: ignore[arg-type]
        feed.push(log[4:5])
        feed.start(head_at(log, 3))
        await feed.bring_to(5)
        assert feed.seq == 5

    asyncio.run(run())


def test_whom_an_entry_removes_is_read_once_for_all_members(monkeypatch: pytest.MonkeyPatch) -> None:
    read = list[str]()
    parse = bodies.parse_body

    def parsed(kind: str, raw: bytes) -> bodies.Body:
        read.append(kind)
        return parse(kind, raw)

    monkeypatch.setattr(bodies, "parse_body", parsed)

    async def run() -> None:
        log = entries_of(2, {2: ("member.removed", "u", {"user": "m7"})})
        feed = a_feed(LogStore(log), 1)
        members = [FakeMember(f"m{n}") for n in range(100)]
        for member in members:
            feed.add(member)
        feed.push(log[1:])
        assert [member.user for member in members if member.removed_at] == ["m7"]
        assert read == ["member.removed"]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("kind", "sender", "body"),
    [
        ("member.removed", "a", {"user": "b"}),
        ("member.removed", "a", {"user": "nobody"}),
        ("member.removed", "a", {"user": ""}),
        ("member.removed", "a", None),
        ("member.left", "c", {}),
        ("member.left", "c", {"why": "of a newer server"}),
        ("group.deleted", "a", {}),
        ("group.deleted", "a", None),
    ],
)
def test_a_feed_lets_go_of_those_whose_membership_ends_and_of_no_other(
    kind: str, sender: str, body: dict[str, Any] | None
) -> None:
    async def run() -> None:
        log = entries_of(2, {2: (kind, sender, body or {})})
        if body is None:
            log[1] = msgspec.structs.replace(log[1], body=None, salt=None)
        feed = a_feed(LogStore(log), 1)
        members = [FakeMember(user) for user in "aabc"]
        for member in members:
            feed.add(member)
        feed.push(log[1:])
        assert all(member.seqs() == [2] for member in members)
        assert [bool(m.removed_at) for m in members] == [ends_for(log[1], m.user) for m in members]

    asyncio.run(run())


def test_a_removed_member_gets_the_removal_and_nothing_after() -> None:
    async def run() -> None:
        log = entries_of(4, {2: ("member.removed", "u", {"user": "b"}), 3: ("member.left", "c", {})})
        feed = a_feed(LogStore(log), 1)
        members = {user: FakeMember(user) for user in "abc"}
        for member in members.values():
            feed.add(member)
        feed.push(log[1:])
        assert members["a"].seqs() == [2, 3, 4]
        assert (members["b"].seqs(), members["b"].removed_at) == ([2], [2])
        assert (members["c"].seqs(), members["c"].removed_at) == ([2, 3], [3])

    asyncio.run(run())


def test_a_deletion_is_written_to_everyone_and_everyone_goes() -> None:
    async def run() -> None:
        log = entries_of(3, {2: ("group.deleted", "a", {})})
        feed = a_feed(LogStore(log), 1)
        members = [FakeMember(user) for user in "abc"]
        for member in members:
            feed.add(member)
        feed.push(log[1:2])
        assert [(member.seqs(), member.removed_at) for member in members] == [([2], [2])] * 3
        assert feed.members_count() == 0

    asyncio.run(run())


def test_an_entry_that_does_not_chain_ends_the_feed_at_its_last_good_position() -> None:
    async def run() -> None:
        log = entries_of(3)
        feed, one = a_feed(LogStore(log), 1), FakeMember("a")
        feed.add(one)
        position = feed.position
        feed.push([msgspec.structs.replace(log[1], time_ms=99)])
        assert feed.dead
        assert one.ended_at == [position]
        assert one.seqs() == []

    asyncio.run(run())


def test_what_chains_before_an_entry_that_does_not_is_written_before_the_feed_ends() -> None:
    async def run() -> None:
        log = entries_of(4)
        feed, one = a_feed(LogStore(log), 1), FakeMember("a")
        feed.add(one)
        feed.push([*log[1:3], msgspec.structs.replace(log[3], time_ms=99)])
        assert feed.dead
        assert one.seqs() == [2, 3]
        assert one.ended_at == [feed.position]
        assert feed.seq == 3

    asyncio.run(run())


def test_what_cannot_be_encoded_leaves_everyone_where_they_were() -> None:
    class Broken:
        subprotocol = "broken"

        def encode(self, event: object) -> bytes:
            raise ValueError("no such character")

    async def run() -> None:
        log = entries_of(3)
        feed, one, two = a_feed(LogStore(log), 1), FakeMember("a"), FakeMember("b")
        two.fake.wire, two.fake.codec = "broken", Broken()  # type: ignore[assignment]
        feed.add(one)
        feed.add(two)
        with pytest.raises(ValueError, match="no such character"):
            feed.push(log[1:])
        assert (feed.seq, one.seqs()) == (1, [])
        feed.remove(two)
        feed.push(log[1:])
        assert one.seqs() == [2, 3]

    asyncio.run(run())


def test_a_head_that_the_store_does_not_have_ends_the_feed() -> None:
    async def run() -> None:
        log = entries_of(3)
        feed, one = a_feed(LogStore(log), 3), FakeMember("a")
        feed.add(one)
        feed.heard_head(7)
        with pytest.raises(FeedEnded):
            await feed.bring_to(7)
        assert len(one.ended_at) == 1

    asyncio.run(run())


def test_a_socket_that_raises_costs_the_others_nothing() -> None:
    async def run() -> None:
        def broken(frame: bytes) -> None:
            raise RuntimeError("closed")

        log = entries_of(2)
        feed, bad, good = a_feed(LogStore(log), 1), FakeMember("a"), FakeMember("b")
        bad.fake.write = broken
        feed.add(bad)
        feed.add(good)
        feed.push(log[1:])
        assert good.seqs() == [2]
        assert feed.tally.write_errors == 1

    asyncio.run(run())


def test_members_come_and_go_in_any_order_and_the_feed_knows_when_it_is_idle() -> None:
    async def run() -> None:
        log = entries_of(3)
        feed = a_feed(LogStore(log), 0)
        members = [FakeMember(str(n)) for n in range(5)]
        for member in members:
            feed.add(member)
        assert feed.idle_since_s is None
        for member in (members[0], members[4], members[2]):
            feed.remove(member)
        feed.push(log)
        assert [len(member.seqs()) for member in members] == [0, 3, 0, 3, 0]
        feed.remove(members[1])
        feed.remove(members[3])
        feed.remove(members[3])
        assert feed.idle_since_s is not None
        assert feed.members_count() == 0

    asyncio.run(run())
