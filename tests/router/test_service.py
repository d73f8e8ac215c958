"""The router: what is answered and published when writes conflict, fill up, time out or fail; and in which order."""

import asyncio
import itertools
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from folkmoot.backends.memory.bus import MemoryBus
from folkmoot.backends.memory.disk import Disk
from folkmoot.backends.memory.store import MemoryStore
from folkmoot.model.group import Head
from folkmoot.model.ids import GroupId, group_id
from folkmoot.model.send import SKIP, Send
from folkmoot.ports import subjects
from folkmoot.ports.clock import SystemChance, SystemClock
from folkmoot.ports.store import Mark, StoreAway, StoreUnknown, Write
from folkmoot.ports.subjects import Answer, Stored, Submit
from folkmoot.router.service import (
    BATCH_BYTES_MAX,
    GATHER_S_MAX,
    Pending,
    Router,
    RouterSettings,
    gather_s,
    taken_from,
)

OWNER = "user-1"
GROUP = group_id(OWNER, "make")


def a_send(send_id: str, text: str = "hi", *, kind: str = "message", join: int = 1, after: str | None = None) -> Send:
    bodies: dict[str, dict[str, Any]] = {"group.created": {"name": "g"}, "message": {"text": text}}
    body = msgspec.json.encode(bodies.get(kind, {}))
    return Send(
        group=GROUP, sender=OWNER, device="d", send_id=send_id, join=join, after=after, kind=kind, body=body
    )  # fmt: skip


class TroubledStore(MemoryStore):
    """A memory store whose next appends fail as they are told to."""

    troubles: list[str]
    looked: asyncio.Event

    async def mark(self, group: GroupId, seq: int) -> Mark | None:
        self.looked.set()
        return await super().mark(group, seq)

    async def append(self, write: Write) -> Head:
        trouble = self.troubles.pop(0) if self.troubles else ""
        if trouble == "away":
            raise StoreAway
        if trouble == "unknown, not written":
            raise StoreUnknown
        head = await super().append(write)
        if trouble == "unknown, written":
            raise StoreUnknown
        return head


class Bench:
    """One router over a store and a bus, and what it publishes."""

    def __init__(self, disk: Disk, *, bucket_size: int = 8, **settings: Any) -> None:
        self.store = TroubledStore(disk, bucket_size=bucket_size)
        self.store.troubles = []
        self.store.looked = asyncio.Event()
        self.bus = MemoryBus()
        self.router = Router(self.store, self.bus, SystemClock(), SystemChance(), RouterSettings(**settings))
        self.published: list[int] = []
        self.bus.subscribe("entries.*", lambda raw, _: self.published.extend(_seqs(raw)))

    async def ask(self, send: Send) -> Answer:
        raw = await self.bus.request(subjects.submit(GROUP), msgspec.msgpack.encode(Submit(send)), timeout_s=10)
        return msgspec.msgpack.decode(raw, type=Answer)


def _seqs(raw: bytes) -> list[int]:
    return [entry.seq for entry in msgspec.msgpack.decode(raw, type=Stored).entries]


def run(test: Callable[[Bench], Awaitable[None]], **settings: Any) -> None:
    async def body() -> None:
        bench = Bench(Disk(), **settings)
        await bench.router.start()
        made = await bench.ask(a_send("make", kind="group.created", join=0))
        assert made.seq == 1
        await test(bench)
        await bench.router.stop()

    asyncio.run(body())


def test_sends_that_wait_together_are_one_write_and_all_are_answered_and_published_in_order() -> None:
    async def test(bench: Bench) -> None:
        answers = await asyncio.gather(*(bench.ask(a_send(f"s{n}")) for n in range(50)))
        assert [answer.seq for answer in answers] == list(range(2, 52))
        await asyncio.sleep(0)
        assert bench.published == list(range(1, 52))
        assert bench.router.statistics()["batches"] <= 10
        assert bench.router.statistics()["waiting"] == 0

    run(test)


@pytest.mark.parametrize("trouble", ["unknown, written", "unknown, not written", "away"])
def test_whatever_the_store_says_once_the_send_is_one_entry_and_gets_its_number(trouble: str) -> None:
    async def test(bench: Bench) -> None:
        bench.store.troubles = [trouble]
        assert (await bench.ask(a_send("x"))).seq == 2
        assert (await bench.ask(a_send("x"))).seq == 2
        assert (await bench.ask(a_send("y"))).seq == 3

    run(test)


@pytest.mark.parametrize(("trouble", "code"), [("unknown, not written", "store_unknown"), ("away", "store_away")])
def test_a_store_that_stays_in_trouble_leaves_the_send_undecided(trouble: str, code: str) -> None:
    async def test(bench: Bench) -> None:
        bench.store.troubles = [trouble] * 100
        answer = await bench.ask(a_send("x"))
        assert (answer.code, answer.definite, answer.seq) == (code, False, None)
        assert answer.retry_after_ms > 0
        bench.store.troubles = []
        assert (await bench.ask(a_send("x"))).seq == 2

    run(test)


@pytest.mark.parametrize("trouble", ["away", "unknown, not written"])
def test_nothing_is_refused_for_good_by_an_entry_that_was_not_stored(trouble: str) -> None:
    async def test(bench: Bench) -> None:
        bench.store.troubles = [trouble] * 100
        ended, refused = await asyncio.gather(bench.ask(a_send("end", kind="group.deleted")), bench.ask(a_send("s")))
        assert not ended.definite
        assert not refused.definite
        bench.store.troubles = []
        assert (await bench.ask(a_send("end", kind=SKIP))).code == "skipped"
        assert (await bench.ask(a_send("s"))).seq == 2

    run(test)


def test_a_full_store_refuses_for_good_and_the_refusal_outlives_the_fullness() -> None:
    async def test(bench: Bench) -> None:
        bench.store._disk.full = True
        answer = await bench.ask(a_send("x"))
        assert (answer.code, answer.definite) == ("storage_full", True)
        bench.store._disk.full = False
        answer = await bench.ask(a_send("x"))
        assert (answer.code, answer.definite) == ("storage_full", True)
        assert (await bench.ask(a_send("y"))).seq == 2

    run(test)


def test_two_routers_on_one_group_are_slow_and_never_wrong() -> None:
    async def body() -> None:
        disk = Disk()
        store = MemoryStore(disk, bucket_size=8)
        bus = MemoryBus()
        routers = [Router(store, bus, SystemClock(), SystemChance(), RouterSettings()) for _ in range(2)]
        for router in routers:
            await router.start()

        async def ask(send: Send) -> Answer:
            raw = await bus.request(subjects.submit(GROUP), msgspec.msgpack.encode(Submit(send)), timeout_s=10)
            return msgspec.msgpack.decode(raw, type=Answer)

        assert (await ask(a_send("make", kind="group.created", join=0))).seq == 1
        # Both hear every send, and both decide it: each has one outcome all the same.
        answers = await asyncio.gather(*(ask(a_send(f"s{n}")) for n in range(40)))
        assert sorted(answer.seq or 0 for answer in answers) == list(range(2, 42))
        for router in routers:
            await router.stop()
        assert (await store.state(GROUP)).head.seq == 41

    asyncio.run(body())


def test_a_join_that_the_cached_state_has_not_reached_is_looked_for_in_the_store() -> None:
    async def body() -> None:
        disk = Disk()
        store, bus = MemoryStore(disk), MemoryBus()
        first = Router(store, bus, SystemClock(), SystemChance(), RouterSettings())
        bench = Bench(disk)
        bench.store, other = bench.store, store
        await first.start()
        request = subjects.submit(GROUP)

        async def ask(send: Send) -> Answer:
            raw = await bus.request(request, msgspec.msgpack.encode(Submit(send)), timeout_s=10)
            return msgspec.msgpack.decode(raw, type=Answer)

        await ask(a_send("make", kind="group.created", join=0))
        # Another router removes nobody and adds user-2 behind the first one's back.
        second = Router(other, MemoryBus(), SystemClock(), SystemChance(), RouterSettings())
        add = msgspec.structs.replace(a_send("add", kind="member.added"), body=b'{"users":["user-2"]}')
        done: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        second._on_submit(msgspec.msgpack.encode(Submit(add)), done.set_result)
        assert msgspec.msgpack.decode(await done, type=Answer).seq == 2
        newcomer = msgspec.structs.replace(a_send("hi", join=2), sender="user-2")
        assert (await ask(newcomer)).seq == 3
        nobody = msgspec.structs.replace(a_send("hi", join=99), sender="user-2")
        assert (await ask(msgspec.structs.replace(nobody, send_id="later"))).code == "not_taken"
        await second.stop()
        await first.stop()

    asyncio.run(body())


def test_refusals_are_stored_a_few_a_minute_and_then_nothing_is_decided() -> None:
    async def test(bench: Bench) -> None:
        answers = [await bench.ask(a_send(f"s{n}", kind=SKIP)) for n in range(5)]
        assert [answer.code for answer in answers] == ["skipped"] * 3 + ["slow_down"] * 2
        assert [answer.definite for answer in answers] == [True] * 3 + [False] * 2
        assert (await bench.ask(a_send("fine"))).seq == 2

    run(test, refusals_per_minute=3)


def test_who_joined_is_told_of_again() -> None:
    # The hint goes by a delivery, and was lost with one that died: whoever was added heard of it minutes later.
    async def test(bench: Bench) -> None:
        hints: list[subjects.Hint] = []
        again = asyncio.Event()

        def hear(raw: bytes, _: object) -> None:
            hints.append(msgspec.msgpack.decode(raw, type=subjects.Hint))
            if len(hints) == 3:
                again.set()

        bench.bus.subscribe("hints.*", hear)
        async with asyncio.timeout(10):
            await again.wait()
        assert all(hint == subjects.Hint(GROUP, [OWNER], 1) for hint in hints)

    run(test, heads_interval_s=0.01)


async def heads_told(bench: Bench, wanted: dict[str, int]) -> None:
    """Waits until the heads that are told are those."""
    heads: list[dict[str, int]] = []
    told = asyncio.Event()

    def hear(raw: bytes, _: object) -> None:
        heads.append(msgspec.msgpack.decode(raw, type=subjects.Heads).heads)
        told.set()

    bench.bus.subscribe("heads.*", hear)
    async with asyncio.timeout(5):
        while not heads or heads[-1] != wanted:
            told.clear()
            await told.wait()


def test_moved_heads_are_repeated() -> None:
    async def test(bench: Bench) -> None:
        await bench.ask(a_send("x"))
        await heads_told(bench, {GROUP: 2})

    run(test, heads_interval_s=0.01)


def test_what_was_stored_without_an_answer_is_told_of_once_it_is_found() -> None:
    async def test(bench: Bench) -> None:
        bench.store.troubles = ["unknown, written"]
        assert (await bench.ask(a_send("x"))).seq == 2
        assert bench.published == [1]
        await heads_told(bench, {GROUP: 2})

    run(test, heads_interval_s=0.01)


def test_a_copy_of_what_was_stored_long_ago_does_not_set_back_the_head_that_is_told() -> None:
    async def test(bench: Bench) -> None:
        for send_id in ("x", "y"):
            await bench.ask(a_send(send_id))
        assert (await bench.ask(a_send("x"))).seq == 2
        await heads_told(bench, {GROUP: 3})

    run(test, heads_interval_s=0.01)


def test_many_heads_are_told_of_in_shares_and_each_of_them_once_an_interval() -> None:
    async def test() -> None:
        bus, clock, told = MemoryBus(), HandClock(), list[str]()
        settings = RouterSettings(heads_interval_s=1.0)
        router = Router(MemoryStore(Disk(), bucket_size=8), bus, clock, SystemChance(), settings)
        moved = [f"g{number}" for number in range(100)]
        router._moved.update((group, (7, clock.now_s)) for group in moved)
        bus.subscribe("heads.*", lambda raw, _: told.extend(msgspec.msgpack.decode(raw, type=subjects.Heads).heads))
        heads = asyncio.create_task(router._repeat_heads())
        pauses_s, counts = list[float](), [0]
        while not pauses_s or pauses_s[-1] != 0.75:
            while not clock.asleep:  # noqa: ASYNC110
                await asyncio.sleep(0)
            await asyncio.sleep(0)  # What was published is heard.
            pause_s, woken = clock.asleep.pop()
            pauses_s.append(pause_s)
            counts.append(len(told))
            woken.set_result(None)
        heads.cancel()
        assert sorted(told) == sorted(moved)
        shares = len(pauses_s) - 1
        assert pauses_s[:-1] == [pytest.approx(0.25 / shares)] * shares
        # The last pause comes after all has been told.
        assert all(0 < later - before <= 12 for before, later in itertools.pairwise(counts[:-1]))
        assert counts[-2:] == [100, 100]

    asyncio.run(test())


def test_groups_in_use_are_compared_with_their_logs() -> None:
    async def test(bench: Bench) -> None:
        await bench.ask(a_send("x"))
        async with asyncio.timeout(5):
            for _ in range(2):  # By the second look the first has been counted.
                bench.store.looked.clear()
                await bench.store.looked.wait()
        assert bench.router.statistics()["audited"] >= 1
        assert bench.router.statistics()["drift"] == 0

    run(test, audit_interval_s=0.001)


def test_what_is_published_says_when_the_first_of_its_sends_came() -> None:
    async def test(bench: Bench) -> None:
        stored: list[Stored] = []
        bench.bus.subscribe("entries.*", lambda raw, _: stored.append(msgspec.msgpack.decode(raw, type=Stored)))
        sends = [Submit(a_send(f"s{n}"), 1_000 - n) for n in range(3)]
        asked = (bench.bus.request(subjects.submit(GROUP), msgspec.msgpack.encode(s), timeout_s=10) for s in sends)
        await asyncio.gather(*asked)
        await asyncio.sleep(0)
        assert min(batch.submitted_ms for batch in stored) == 998
        assert bench.router.histograms()["batch_entries"].total == 1 + 3
        assert bench.router.histograms()["append_seconds"].count == bench.router.statistics()["batches"]

    run(test)


def test_stopping_answers_what_was_taken() -> None:
    async def body() -> None:
        bench = Bench(Disk())
        await bench.router.start()
        asked = asyncio.create_task(bench.ask(a_send("make", kind="group.created", join=0)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await bench.router.stop()
        assert (await asked).seq == 1

    asyncio.run(body())


class SlowStore(MemoryStore):
    """Each append takes so many seconds, by the clock that stands beside it; no time passes for real."""

    clock: "HandClock"
    append_s: float = 0.0

    async def append(self, write: Write) -> Head:
        await asyncio.sleep(0)
        self.clock.now_s += self.append_s
        return await super().append(write)


class HandClock(SystemClock):
    """Whoever sleeps is noted, and sleeps until the test says so."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.asleep: list[tuple[float, asyncio.Future[None]]] = []

    def monotonic_s(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.get_running_loop().create_future()
        self.asleep.append((seconds, woken))
        await woken


def test_after_a_slow_append_of_several_those_answered_come_along_with_those_who_waited() -> None:
    async def body() -> None:
        bench = Bench(Disk(), bucket_size=1_000)
        clock = HandClock()
        bench.store = store = SlowStore(Disk(), bucket_size=1_000)  # type: ignore[assignment]
        store.clock = clock
        bench.router = Router(store, bench.bus, clock, SystemChance(), RouterSettings())
        await bench.router.start()
        await bench.ask(a_send("make", kind="group.created", join=0))
        store.append_s = 0.08
        assert [pause for pause, _ in clock.asleep] == [0.25, 10.0]  # Heads and audits: nothing waits to gather.
        first = [asyncio.create_task(bench.ask(a_send(f"a{n}"))) for n in range(2)]
        while bench.router.statistics()["waiting"] < 2:  # noqa: ASYNC110
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        waited = [asyncio.create_task(bench.ask(a_send(f"b{n}"))) for n in range(3)]
        assert [(await one).seq for one in first] == [2, 3]
        again = [asyncio.create_task(bench.ask(a_send(f"c{n}"))) for n in range(2)]
        while bench.router.statistics()["waiting"] < 5:  # noqa: ASYNC110
            await asyncio.sleep(0)
        pause_s, woken = clock.asleep[-1]
        assert round(pause_s, 9) == 0.02
        batches = bench.router.statistics()["batches"]
        woken.set_result(None)
        assert [(await one).seq for one in (*waited, *again)] == [4, 5, 6, 7, 8]
        assert bench.router.statistics()["batches"] == batches + 1
        # Nobody else comes: a router that stops does not wait for who is not there.
        stopping = asyncio.create_task(bench.router.stop())
        await asyncio.sleep(0)
        clock.asleep[-1][1].set_result(None)
        await stopping
        assert bench.router.statistics()["waiting"] == 0

    asyncio.run(body())


def test_nobody_waits_for_more_after_one_alone_or_a_quick_append() -> None:
    assert gather_s(1, 1.0) == 0.0
    assert gather_s(8, 0.004) == 0.0
    assert gather_s(2, 0.02) == 0.005
    assert gather_s(8, 10.0) == GATHER_S_MAX


def test_plain_appends_ask_for_no_outcomes_and_copies_do() -> None:
    async def test(bench: Bench) -> None:
        asked: list[int] = []
        outcomes = bench.store.outcomes

        async def counted(group: GroupId, keys: Any) -> Any:
            asked.append(1)
            return await outcomes(group, keys)

        bench.store.outcomes = counted  # type: ignore[method-assign]
        assert [(await bench.ask(a_send(f"s{n}"))).seq for n in range(3)] == [2, 3, 4]
        assert asked == []
        assert (await bench.ask(a_send("s1"))).seq == 3
        assert asked == [1]
        assert bench.router.statistics()["conflicts"] == 0

    run(test)


def test_a_router_that_knows_of_nothing_gives_a_copy_the_first_answer() -> None:
    async def body() -> None:
        disk = Disk()
        before = Bench(disk)
        await before.router.start()
        await before.ask(a_send("make", kind="group.created", join=0))
        assert (await before.ask(a_send("x"))).seq == 2
        assert (await before.ask(a_send("gone", kind=SKIP))).code == "skipped"
        await before.router.stop()
        after = Bench(disk)
        await after.router.start()
        assert (await after.ask(a_send("x"))).seq == 2
        assert (await after.ask(a_send("x", "another body"))).code == "send_id_conflict"
        assert (await after.ask(a_send("gone"))).code == "skipped"
        fresh, copy = await asyncio.gather(after.ask(a_send("y")), after.ask(a_send("x")))
        assert (fresh.seq, copy.seq) == (3, 2)
        head = await after.store.head(GROUP)
        assert head is not None
        assert head.seq == 3
        await after.router.stop()

    asyncio.run(body())


def test_a_batch_ends_at_its_bytes_too_and_one_at_least_is_in_it() -> None:
    large = "x" * (BATCH_BYTES_MAX // 3)
    queue = deque(Pending(Submit(a_send(f"s{n}", large)), lambda _: None) for n in range(5))
    queue.append(Pending(Submit(a_send("alone", "x" * BATCH_BYTES_MAX)), lambda _: None))
    queue.extend(Pending(Submit(a_send(f"t{n}")), lambda _: None) for n in range(9))
    batches = []
    while queue:
        batches.append([pending.submit.send.send_id for pending in taken_from(queue, 8)])
    assert batches == [["s0", "s1"], ["s2", "s3"], ["s4"], ["alone"], [f"t{n}" for n in range(8)], ["t8"]]
