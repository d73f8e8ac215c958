"""The checker can fail: bugs planted one at a time into the production code, each found within a few seeds.

Run as a program it prints the table of bugs, workloads, and the seeds needed from several starts.
"""

import asyncio
import contextlib
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec
import pytest

from folkmoot.backends.memory.store import MemoryStore
from folkmoot.checker.laws import judge_run
from folkmoot.checker.simulate import Case
from folkmoot.client import driver, inbox, outbox
from folkmoot.client.kept import Changes
from folkmoot.client.received import Item
from folkmoot.delivery import service as delivery
from folkmoot.gateway import announcer, connection, feed, follow, pointers, queries, wheel
from folkmoot.model.group import Head
from folkmoot.model.position import Standing
from folkmoot.model.send import Appended, Outcome, Refused, SendKey
from folkmoot.ports import subjects
from folkmoot.ports.store import Conflict, Write
from folkmoot.ports.subjects import Stored
from folkmoot.protocol import events as ev
from folkmoot.protocol.codec import entry_event
from folkmoot.router import batch, decide, joiners
from folkmoot.router import service as router
from folkmoot.testing.simulation import run_plan
from folkmoot.testing.world_store import Database, WorldStore

SEEDS_MAX: Final = 400
"""A bug that is not found in so many runs of its workload is a hole in the workload."""

STARTS: Final = (0, 1_000, 2_000)

Patch = pytest.MonkeyPatch
Plant = Callable[[Patch], None]
PLANTED: dict[str, tuple[str, Plant]] = {}
"""By name: the workload that finds it, and how it is planted."""


def planted(name: str, workload: str) -> Callable[[Plant], Plant]:
    def keep(plant: Plant) -> Plant:
        PLANTED[name] = (workload, plant)
        return plant

    return keep


# The router and the store.


@planted("publish before append", "hot_group")
def _(patch: Patch) -> None:
    append = router.Router._append

    def published_first(self: Any, write: Write) -> asyncio.Future[Head]:
        self._bus.publish(
            subjects.entries(write.group), msgspec.msgpack.encode(Stored(write.group, list(write.entries)))
        )
        return append(self, write)

    patch.setattr(router.Router, "_append", published_first)


@planted("answer before durable", "hot_group")
def _(patch: Patch) -> None:
    def not_waited_for(self: Any, write: Write) -> asyncio.Future[Head]:
        self._pending_append = asyncio.create_task(_quietly(self._store.append(write)))
        head = msgspec.structs.replace(
            write.after.head, writes=write.expected.writes + 1, room=8 - write.after.head.seq % 8
        )
        appended: asyncio.Future[Head] = asyncio.get_running_loop().create_future()
        appended.set_result(head)
        return appended

    patch.setattr(router.Router, "_append", not_waited_for)


async def _quietly(work: Any) -> None:
    with contextlib.suppress(Exception):
        await work


def _store_that_checks(patch: Patch, *, keys: bool = True, head: str = "writes") -> None:
    """A store whose conditions are weaker than it promises: on `head` alone, or on send keys not at all."""

    async def append(self: Any, write: Write) -> Head:
        self._check()
        held = self._groups.get(write.group)
        now = held.state.head if held is not None else self._empty(write.group).head
        if head == "writes" and (now.epoch, now.writes) != (write.expected.epoch, write.expected.writes):
            raise Conflict(write.group)
        if head == "seq" and now.seq != write.expected.seq:
            raise Conflict(write.group)
        known = held.outcomes if held is not None else {}
        if keys and any(key in known for key in [(e.sender, e.send_id) for e in write.entries] + list(write.refusals)):
            raise Conflict(write.group)
        self._disk.sync(write)
        result: Head = self._apply(write)
        return result

    patch.setattr(MemoryStore, "append", append)


def _outcomes_without(patch: Patch, forgotten: Callable[[WorldStore, SendKey, Outcome, Head | None], bool]) -> None:
    """Outcomes that a router does not find, and a store that does not mind."""
    outcomes = WorldStore.outcomes

    async def fewer(self: WorldStore, group: str, keys: Iterable[SendKey]) -> dict[SendKey, Outcome]:
        found = await outcomes(self, group, keys)
        held = self._database.store._groups.get(group)
        head = held.state.head if held is not None else None
        return {key: outcome for key, outcome in found.items() if not forgotten(self, key, outcome, head)}

    patch.setattr(WorldStore, "outcomes", fewer)
    _store_that_checks(patch, keys=False)


@planted("dedupe left out", "sends")
def _(patch: Patch) -> None:
    _outcomes_without(patch, lambda store, key, outcome, head: True)


@planted("dedupe forgotten after a restart", "sends")
def _(patch: Patch) -> None:
    made: dict[Any, set[SendKey]] = {}
    append = WorldStore.append

    async def remembered(self: WorldStore, write: Write) -> Head:
        head = await append(self, write)
        keys = [(entry.sender, entry.send_id) for entry in write.entries] + list(write.refusals)
        made.setdefault(self._process, set()).update(keys)
        return head

    patch.setattr(WorldStore, "append", remembered)
    _outcomes_without(patch, lambda store, key, outcome, head: key not in made.get(store._process, ()))


@planted("the head is not compared at all", "hot_group")
def _(patch: Patch) -> None:
    _store_that_checks(patch, head="")


@planted("the head is compared first and written later", "hot_group")
def _(patch: Patch) -> None:
    append = WorldStore.append

    async def looked_before(self: WorldStore, write: Write) -> Head:
        head = await self.head(write.group)
        if head is not None and (head.epoch, head.writes) != (write.expected.epoch, write.expected.writes):
            raise Conflict(write.group)
        return await append(self, write)

    patch.setattr(WorldStore, "append", looked_before)
    _store_that_checks(patch, head="")


@planted("a write is conditional on the number of the head alone", "hot_group")
def _(patch: Patch) -> None:
    _store_that_checks(patch, keys=False, head="seq")


@planted("a refusal does not raise writes", "hot_group")
def _(patch: Patch) -> None:
    _store_that_checks(patch, keys=False)
    apply = MemoryStore._apply

    def as_before(self: Any, write: Write) -> Head:
        head = apply(self, write)
        if write.entries or not write.refusals:
            return head
        same = msgspec.structs.replace(head, writes=write.expected.writes)
        held = self._groups[write.group]
        held.state = msgspec.structs.replace(held.state, head=same)
        return same

    patch.setattr(MemoryStore, "_apply", as_before)


@planted("a definite answer is given from a stale state", "membership")
def _(patch: Patch) -> None:
    right = decide._standing

    def at_once(state: Any, send: Any) -> Any:
        given = right(state, send)
        return decide.Refuse("membership_over", stored=False) if isinstance(given, decide.LoadNewer) else given

    patch.setattr(decide, "_standing", at_once)


@planted("a duplicate is answered with a new seq", "sends")
def _(patch: Patch) -> None:
    before = decide._decided_before

    def renumbered(send: Any, outcome: Outcome) -> Any:
        decision = before(send, outcome)
        return decide.Already(decision.seq + 1) if isinstance(decision, decide.Already) else decision

    patch.setattr(decide, "_decided_before", renumbered)


@planted("a late copy of a refused send is appended", "hot_group")
def _(patch: Patch) -> None:
    _outcomes_without(patch, lambda store, key, outcome, head: isinstance(outcome, Refused))


@planted("a definite refusal is not stored", "hot_group")
def _(patch: Patch) -> None:
    def told_at_once(self: Any, send: Any, key: SendKey, code: str, detail: str) -> None:
        self._answer(send, written=False, code=code, detail=detail, definite=True)

    patch.setattr(batch._Draft, "_refuse", told_at_once)


@planted("the second of two sends is appended when the first was lost", "sends")
def _(patch: Patch) -> None:
    right = decide.decide

    def careless(state: Any, send: Any, given: Any) -> Any:
        return right(state, send, msgspec.structs.replace(given, after_settled=True))

    patch.setattr(batch, "decide", careless)


@planted("a send id is forgotten two buckets on", "hot_group")
def _(patch: Patch) -> None:
    def old(store: WorldStore, key: SendKey, outcome: Outcome, head: Head | None) -> bool:
        return isinstance(outcome, Appended) and head is not None and outcome.seq // 8 <= head.seq // 8 - 2

    _outcomes_without(patch, old)


@planted("the index of outcomes is completed one step too late", "hot_group")
def _(patch: Patch) -> None:
    def between(store: WorldStore, key: SendKey, outcome: Outcome, head: Head | None) -> bool:
        if not isinstance(outcome, Appended) or head is None:
            return False
        return outcome.seq // 8 == head.seq // 8 - 1 and head.seq % 8 < 2

    _outcomes_without(patch, between)


@planted("a time-out is read as: it did not happen", "hot_group")
def _(patch: Patch) -> None:
    right = router.Router._leave_undecided

    def leave(self: Any, decided: Any, taken: Any, code: str) -> int:
        if code != "store_unknown":
            return right(self, decided, taken, code)
        for pending in taken:
            send = pending.submit.send
            answer = subjects.Answer(send.group, send.send_id, code="storage_full", definite=True)
            pending.reply(msgspec.msgpack.encode(answer))
        return len(taken)

    patch.setattr(router.Router, "_leave_undecided", leave)
    patch.setattr(router, "TRIES_MAX", 1)


@planted("the digest of heads is left out", "sends")
def _(patch: Patch) -> None:
    async def never(self: Any) -> None: ...

    patch.setattr(router.Router, "_repeat_heads", never)


# Delivery and feeds.


@planted("an edge that was cut off does not announce again", "sends")
def _(patch: Patch) -> None:
    patch.setattr(announcer.Announcer, "recalled", lambda self, partitions=None: None)


@planted("delivery begins anew and recalls nobody", "sends")
def _(patch: Patch) -> None:
    patch.setattr(delivery.Delivery, "_recall", lambda self, partitions: None)


@planted("the hint to a member added while online is lost", "membership")
def _(patch: Patch) -> None:
    patch.setattr(delivery, "newcomers", lambda entry: [])
    # Nor by the router, which says it again for some seconds.
    patch.setattr(joiners.Joiners, "since", lambda self, oldest_s: [])


@planted("a gap is not repaired", "sends")
def _(patch: Patch) -> None:
    patch.setattr(feed.Feed, "_fill", lambda self, target: None)


@planted("a gap is written before it is repaired", "sends")
def _(patch: Patch) -> None:
    push = feed.Feed.push

    def eager(self: Any, entries: Sequence[Any]) -> None:
        for entry in entries:
            if self.live and entry.seq > self.seq + 1:
                for lane in self._lanes.values():
                    frame = lane.frame(lane.codec.encode(entry_event(entry)))
                    for write in lane.writes:
                        write(frame)
        push(self, entries)

    patch.setattr(feed.Feed, "push", eager)


@planted("a removed member is still pushed to", "membership")
def _(patch: Patch) -> None:
    patch.setattr(feed.Feed, "_let_go", lambda self, entry: None)


@planted("a feed does not check the chain", "epochs")
def _(patch: Patch) -> None:
    patch.setattr(feed, "follows", lambda before, entry: True)


@planted("a feed joined before the catch-up is at its end", "reconnects")
def _(patch: Patch) -> None:
    patch.setattr(follow.Follower, "_advance", _joins_wherever(lambda place, at: True))


@planted("a connection joined ahead of its feed", "membership")
def _(patch: Patch) -> None:
    patch.setattr(follow.Follower, "_advance", _joins_wherever(lambda place, at: place.seq > at.seq))


def _joins_wherever(may_join: Callable[[Any, Any], bool]) -> Any:
    advance = follow.Follower._advance

    async def careless(self: Any, place: Any, *, slow: bool) -> bool:
        if place.last is None:
            at = await self._connection.gateway.feeds.open(place.group)
            if may_join(place, at) and not self._connection.is_paused:
                at.add(self._connection)
                self._connection.feeds[place.group] = at
                self._connection.send(ev.Recovered(group=place.group, position=str(at.position), seq=at.seq))
                return True
        result: bool = await advance(self, place, slow=slow)
        return result

    return careless


@planted("a slow reader is taken off and forgotten", "slow_readers")
def _(patch: Patch) -> None:
    def fall(self: Any) -> None:
        for group in list(self.feeds):
            self.leave_feed(group)

    patch.setattr(connection.Connection, "_fall_behind", fall)


# Catching up.


@planted("a re-added member is shown the time between", "membership")
def _(patch: Patch) -> None:
    patch.setattr(follow, "_begins_anew", lambda view, span, seq: False)


@planted("a page is read past a removal", "membership")
def _(patch: Patch) -> None:
    patch.setattr(follow, "ends_for", lambda entry, user: False)


@planted("a removed member's catch-up runs on", "membership")
def _(patch: Patch) -> None:
    begin = follow.Follower._begin

    async def endless(self: Any, wish: Any) -> Any:
        place = await begin(self, wish)
        if place is not None:
            place.last = None
        return place

    patch.setattr(follow.Follower, "_begin", endless)
    patch.setattr(follow, "ends_for", lambda entry, user: False)


@planted("a snapshot takes its position after its rows", "epochs")
def _(patch: Patch) -> None:
    snapshot = follow.Follower._snapshot

    async def late(self: Any, view: Any) -> Any:
        head = await self._connection.gateway.store.head(view.group)
        if head is not None:
            ahead = msgspec.structs.replace(view.head, seq=head.seq, hash=head.hash, epoch=head.epoch)
            view = msgspec.structs.replace(view, head=ahead)
        return await snapshot(self, view)

    patch.setattr(follow.Follower, "_snapshot", late)


@planted("a store set back is not noticed by its marks", "epochs")
def _(patch: Patch) -> None:
    patch.setattr(follow, "judge", lambda position, hash_at: Standing.AHEAD if hash_at is None else Standing.HOLDS)
    patch.setattr(follow, "MARK_BYTES", 0)


@planted("a store is restored without a new epoch", "epochs")
def _(patch: Patch) -> None:
    restore = Database.restore
    patch.setattr(Database, "restore", lambda self, backup, *, raised: restore(self, backup, raised=False))


@planted("a projection's writer is killed and nobody finishes it", "membership")
def _(patch: Patch) -> None:
    listed = MemoryStore._list_group

    def lost_at_times(self: Any, user: str, group: str, *, listed: bool) -> None:
        number = self.__dict__["_listings"] = self.__dict__.get("_listings", 0) + 1
        if number % 4:
            right(self, user, group, listed=listed)

    right = listed
    patch.setattr(MemoryStore, "_list_group", lost_at_times)


@planted("an expired token is left connected", "reconnects")
def _(patch: Patch) -> None:
    patch.setattr(wheel.Wheel, "_expire_tokens", lambda self: None)


@planted("a task dies once it has done its work, and nobody reads of what", "reconnects")
def _(patch: Patch) -> None:
    refresh = connection.Connection._refresh

    async def done_and_dead(self: Any, token: str) -> None:
        await refresh(self, token)
        raise LookupError("what was not foreseen")

    patch.setattr(connection.Connection, "_refresh", done_and_dead)


@planted("unread counts what came before the join", "membership")
def _(patch: Patch) -> None:
    async def from_the_pointer(self: Any, view: Any, membership: Any) -> int:
        mark = await self._store.mark(view.group, view.read)
        return 0 if mark is None else int(view.head.messages - mark.messages)

    patch.setattr(queries.Queries, "unread_of", from_the_pointer)


@planted("read pointers go back", "sends")
def _(patch: Patch) -> None:
    def lowered(self: Any, pointer: Any) -> None:
        if pointer.group in self._groups:
            self._pointers[(pointer.group, pointer.user)] = (pointer.epoch, pointer.seq)

    patch.setattr(MemoryStore, "_raise_pointer", lowered)


@planted("a read pointer is taken and never written", "sends")
def _(patch: Patch) -> None:
    patch.setattr(pointers.Pointers, "move", lambda self, user, group, epoch, seq: None)


# The client.


@planted("a position is committed before what it stands for", "reconnects")
def _(patch: Patch) -> None:
    async def refill(self: Any) -> None:
        items: list[Item] = self._source.take_items()
        while not items:
            if not await self._source.more_items():
                raise StopAsyncIteration
            items = self._source.take_items()
        self._source.keep_items(items)
        self._items, self._handed = items, 0

    patch.setattr(inbox.Inbox, "_refill", refill)


@planted("sends leave before they are kept", "reconnects")
def _(patch: Patch) -> None:
    def without(self: Any, now_s: float) -> None:
        frames = self.core.take_frames(now_s)
        if self._link is not None and frames:
            self._link.write(frames)
        changes = self.core.take_changes()
        made, changes.made = changes.made, []
        self._store.commit(changes)
        self._unkept = [*getattr(self, "_unkept", []), *made]
        self._loop.call_later(0.05, _keep_late, self)
        self._tell_answers()
        if self.core.drop and self._link is not None:
            self._link.abort()
        self._arm(now_s)

    patch.setattr(driver.Driver, "_flush_all", without)


def _keep_late(self: Any) -> None:
    made, self._unkept = self._unkept, []
    self._store.commit(Changes(made=made))


@planted("an outbox sends everything at once, whatever comes before", "sends")
def _(patch: Patch) -> None:
    event_of = outbox._event_of
    patch.setattr(outbox, "_event_of", lambda send, before: event_of(send, None))


def seeds_needed(name: str, start: int) -> int | None:
    """How many seeds from `start` on it takes to find the bug, None where that is too many."""
    workload, plant = PLANTED[name]
    for number in range(SEEDS_MAX):
        with Patch.context() as patch:
            plant(patch)
            if judge_run(run_plan(Case(workload, start + number).plan())):
                return number + 1
    return None


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_bug_is_found(name: str) -> None:
    assert seeds_needed(name, STARTS[0]) is not None, "a hole in the workload"


def test_there_are_enough_of_them() -> None:
    assert len(PLANTED) >= 25


if __name__ == "__main__":
    for bug in sys.argv[1:] or PLANTED:
        needed = [seeds_needed(bug, start) for start in STARTS]
        found = [number for number in needed if number is not None]
        median = f"{statistics.median(found):g}" if len(found) == len(needed) else "not always found"
        print(f"| {bug} | `{PLANTED[bug][0]}` | {', '.join(map(str, needed))} | {median} |", flush=True)
