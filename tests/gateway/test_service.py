"""The gateway heals: lost copies, lost hints, a delivery that begins anew; and says what it counts."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from folkmoot.backends.memory.bus import MemoryBus, MemorySubscription
from folkmoot.backends.memory.disk import Disk
from folkmoot.backends.memory.store import MemoryStore
from folkmoot.delivery.service import Delivery
from folkmoot.gateway.service import GatewaySettings
from folkmoot.ports.bus import Reply
from folkmoot.ports.clock import SystemChance, SystemClock
from folkmoot.protocol import events as ev
from folkmoot.router.service import RouterSettings
from folkmoot.testing.edge import Edge, Talker

OWNER, OTHER = "user-1", "user-2"


class LossyBus(MemoryBus):
    """A bus that loses what it is told to, by the first word of the subject."""

    def __init__(self) -> None:
        super().__init__()
        self.losing: set[str] = set()
        self.lost = 0

    def _offer(self, subject: str, message: bytes, reply: Reply | None) -> None:
        if subject.partition(".")[0] in self.losing:
            self.lost += 1
            return
        super()._offer(subject, message, reply)


def an_edge(test: Callable[[Edge, LossyBus], Awaitable[None]], **fields: Any) -> None:
    async def body() -> None:
        bus = LossyBus()
        quick = RouterSettings(heads_interval_s=0.02)
        async with Edge(MemoryStore(Disk(), bucket_size=8), bus=bus, router=quick, **fields) as edge:
            await test(edge, bus)

    asyncio.run(body())


async def two_members(edge: Edge) -> tuple[Talker, Talker, str]:
    owner, other = await edge.member(OWNER), await edge.member(OTHER)
    answer = await owner.asked("", "group.created", {"name": "g", "members": [OTHER]}, "make", join=0)
    for talker in (owner, other):
        await talker.wait(ev.Recovered)
    return owner, other, answer.group


def test_a_copy_lost_between_router_and_delivery_or_delivery_and_edge_is_found_by_the_heads() -> None:
    async def test(edge: Edge, bus: LossyBus) -> None:
        owner, other, group = await two_members(edge)
        for word in ("entries", "push"):
            bus.losing = {word}
            answer = await owner.asked(group, "message", {"text": "lost on the way"}, word)
            assert bus.lost > 0
            bus.losing = set()
            await other.until(lambda seq=answer.seq: seq in other.seqs(group))  # type: ignore[misc]
        assert other.seqs(group) == [1, 2, 3]

    an_edge(test)


def test_a_lost_hint_is_found_by_reading_the_users_groups_again() -> None:
    async def test(edge: Edge, bus: LossyBus) -> None:
        owner, other = await edge.member(OWNER), await edge.member(OTHER)
        bus.losing = {"hints"}
        answer = await owner.asked("", "group.created", {"name": "g", "members": [OTHER]}, "make", join=0)
        assert bus.lost > 0
        await other.until(lambda: other.seqs(answer.group) == [1])

    an_edge(test, gateway=GatewaySettings(sweep_interval_s=0.1))


def test_a_bus_away_for_a_while_costs_time_and_no_entry() -> None:
    async def test(edge: Edge, bus: LossyBus) -> None:
        owner, other, group = await two_members(edge)
        bus.losing = {"entries", "push", "heads", "hints"}
        for n in range(5):
            await owner.asked(group, "message", {"text": f"{n}"}, f"s{n}")
        bus.losing = set()
        # What an overflow or a cut of the bus tells its subscribers.
        for subscription in [s for table in bus._exact.values() for s in table if isinstance(s, MemorySubscription)]:
            subscription.gap()
        await other.until(lambda: other.seqs(group) == [1, 2, 3, 4, 5, 6])

    an_edge(test)


def test_a_delivery_that_begins_anew_knows_everyone_again() -> None:
    async def test(edge: Edge, bus: LossyBus) -> None:
        owner, other, group = await two_members(edge)
        await edge.delivery.stop()
        await owner.asked(group, "message", {"text": "while it was away"}, "a")
        edge.delivery = Delivery(edge.store, bus, SystemClock(), SystemChance())
        await edge.delivery.start()
        await other.until(lambda: other.seqs(group) == [1, 2])
        await owner.asked(group, "message", {"text": "b"}, "b")
        await other.until(lambda: other.seqs(group) == [1, 2, 3])

    an_edge(test)


def test_what_waits_and_what_is_behind_can_be_seen() -> None:
    async def test(edge: Edge, bus: LossyBus) -> None:
        owner, other, group = await two_members(edge)
        other.outlet.stop_reading(high_water_bytes=300)
        for n in range(4):
            await owner.asked(group, "message", {"text": "x" * 200}, f"s{n}")
        await owner.until(lambda: owner.seqs(group)[-1:] == [5])
        await owner.until(lambda: edge.gateway.fell_behind == 1)
        counts = edge.gateway.statistics()
        assert counts["slow_readers"] == 1
        assert 300 < counts["buffered_bytes"] == counts["buffered_bytes_largest"]
        assert (counts["feeds_behind"], counts["lag_entries"]) == (0, 0)
        edge.gateway.feeds.get(group).heard_head(9)  # type: ignore[union-attr]
        counts = edge.gateway.statistics()
        assert (counts["feeds_behind"], counts["lag_entries"]) == (1, 4)

    an_edge(test)


def test_what_is_counted() -> None:
    async def test(edge: Edge, bus: LossyBus) -> None:
        owner, other, group = await two_members(edge)
        counts = edge.gateway.statistics()
        assert (counts["connections"], counts["users"], counts["feeds"]) == (2, 2, 1)
        assert (counts["sends"], counts["answers_accepted"], counts["deliveries"]) == (1, 1, 0)
        await owner.asked(group, "message", {"text": "a"}, "a")
        await other.until(lambda: other.seqs(group)[-1:] == [2])
        counts, times = edge.gateway.statistics(), edge.gateway.histograms()
        assert (counts["sends"], counts["answers_accepted"], counts["deliveries"]) == (2, 2, 2)
        assert times["accepted_seconds"].count == 2
        assert times["pushed_seconds"].count == 1
        assert edge.router.histograms()["batch_entries"].counts[0] == edge.router.statistics()["batches"] == 2
        other.drop()
        owner.connection.end("idle")
        counts = edge.gateway.statistics()
        assert (counts["connections"], counts["users"], counts["ended_idle"]) == (0, 0, 1)

    an_edge(test)
