"""The delivery service: one push an edge, whatever the number of members there, and what repairs a lost one."""

import asyncio
from collections.abc import Coroutine, Iterable, Mapping

import msgspec

from folkmoot.delivery.fanout import by_edge_of_user, heads_by_edge, newcomers
from folkmoot.delivery.handover import Handover
from folkmoot.delivery.repair import heads_past, sweep
from folkmoot.delivery.roster import Rosters
from folkmoot.model.ids import PARTITIONS, GroupId, UserId, partition_of
from folkmoot.model.partitions import ALL
from folkmoot.ports import subjects
from folkmoot.ports.bus import Bus, Handler, Reply
from folkmoot.ports.clock import Chance, Clock
from folkmoot.ports.ownership import Ownership
from folkmoot.ports.store import Store, StoreAway
from folkmoot.ports.subjects import Announce, Announced, Heads, Hint, Online, PointerMoved, Recall, Stored
from folkmoot.ports.traces import Tracer

COMPARISONS_MAX = 256
"""Announcements being compared with the store at once. One more is left to the sweep."""


HANDOVER_SWEEP_S = 0.5
"""Over how long the groups of partitions that another router routes now are compared with the store."""

TICK_S = 1.0


class DeliverySettings(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of a delivery service; `node/config.py` says why they are what they are."""

    sweep_interval_s: float = 120.0
    edge_silent_s_max: float = 360.0


class Delivery:
    """Owns rosters and no entry: what it loses, an edge announces again and the store still has."""

    def __init__(
        self,
        store: Store,
        bus: Bus,
        clock: Clock,
        chance: Chance,
        settings: DeliverySettings | None = None,
        *,
        tracer: Tracer | None = None,
    ) -> None:
        self._store = store
        self._bus = bus
        self._clock = clock
        self._chance = chance
        self._settings = settings or DeliverySettings()
        self._tracer = tracer
        self._rosters = Rosters()
        self._handover = Handover()
        self._incarnation = ""
        listeners: dict[str, Handler] = {
            "entries": self._on_entries,
            "heads": self._on_heads,
            "announce": self._on_announce,
            "online": self._on_online,
            "hints": self._on_hint,
            "pointers": self._on_pointer,
        }
        self._ownership = Ownership(bus, listeners, on_gap=self.begin_again)
        self._losing: frozenset[int] = frozenset()
        self._lost: frozenset[int] = frozenset()
        self._beginning = False
        self._tasks: set[asyncio.Task[None]] = set()
        self.pushes = 0
        self.skipped_comparisons = 0

    async def start(self, partitions: frozenset[int] = ALL) -> None:
        """Serve `partitions`."""
        self._incarnation = self._chance.token(8).hex()
        self.own(partitions)
        self._spawn(self._sweep_for_ever())
        self._spawn(self._tick())

    def own(self, partitions: frozenset[int]) -> None:
        """From now on serve `partitions`: edges are asked to tell of the new ones, and all is pushed to who has not.

        What is lost is served for a moment yet: whoever owns it now may only be about to listen.
        """
        self._losing |= self._ownership.owned - partitions
        gained = self._ownership.own(partitions)
        if gained:
            self._handover.take_over(gained)
            self._recall(gained)

    def see_edges(self, edges: Iterable[str]) -> None:
        """These edges live, and no others."""
        self._handover.see(edges)

    def routers_moved(self, partitions: frozenset[int]) -> None:
        """Another router routes these: the last may have died between an append and its publication."""
        mine = partitions & self._ownership.owned
        groups = [group for group in self._rosters.groups() if partition_of(group) in mine]
        if groups:
            self._spawn(sweep(self._store, self._clock, groups, duration_s=HANDOVER_SWEEP_S, tell=self._tell_heads))

    def begin_again(self) -> None:
        """Something may have been missed: ask every edge where its feeds stand, once for all that tell of it now."""
        if not self._beginning:
            self._beginning = True
            asyncio.get_running_loop().call_soon(self._begin)

    async def stop(self) -> None:
        self._ownership.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def apply(self, settings: DeliverySettings) -> None:
        """Go on with other settings, from the next sweep on."""
        self._settings = settings

    def statistics(self) -> dict[str, int]:
        groups, users, edges = self._rosters.counts()
        return {
            "groups": groups,
            "users": users,
            "edges": edges,
            "pushes": self.pushes,
            "comparisons": len(self._tasks),
            "comparisons_max": COMPARISONS_MAX,
            "skipped_comparisons": self.skipped_comparisons,
        }

    def _begin(self) -> None:
        """Start another incarnation: whatever was missed, edges tell again where their feeds stand."""
        self._beginning = False
        self._incarnation = self._chance.token(8).hex()
        self._handover.take_over(self._ownership.owned)
        self._recall(self._ownership.owned)

    def _recall(self, partitions: Iterable[int]) -> None:
        wanted = sorted(partitions)
        recall = Recall(self._incarnation, None if len(wanted) == PARTITIONS else wanted)
        self._bus.publish(subjects.RECALL, _ENCODER.encode(recall))

    async def _tick(self) -> None:
        """Let go what another owns by now, and ask again of what somebody has yet to tell."""
        while True:
            await self._clock.sleep(TICK_S)
            self._release()
            if self._handover:
                self._recall(self._handover.awaited())

    def _release(self) -> None:
        """What was lost before the last call is heard no more, and what edges told of it grows old."""
        self._ownership.release()
        lost, self._lost, self._losing = self._lost - self._ownership.owned, self._losing, frozenset()
        self._handover.lose(lost)
        self._rosters.forget_partitions(lost)

    def _on_entries(self, message: bytes, reply: Reply | None) -> None:
        stored = _STORED.decode(message)
        edges = self._edges_of_group(stored.group)
        if self._tracer is not None and stored.traces is not None:
            self._push_traced(self._tracer, edges, stored, stored.traces)
        else:
            # The very bytes that came go on: what an edge needs is what the router said.
            self._push_raw(edges, message)
        for entry in stored.entries:
            for user in newcomers(entry):
                hint = Hint(stored.group, [user], entry.seq)
                self._bus.publish(subjects.hints(user), _ENCODER.encode(hint))

    def _on_heads(self, message: bytes, reply: Reply | None) -> None:
        self._tell_heads(_HEADS.decode(message).heads)

    def _on_announce(self, message: bytes, reply: Reply | None) -> None:
        announce = _ANNOUNCE.decode(message)
        # In the roster first, compared with the store after: what is stored between the two is pushed.
        self._rosters.announce(announce.edge, announce.groups, announce.gone, self._clock.monotonic_s())
        self._handover.told_of_groups(announce.edge, announce.whole)
        self._acknowledge(reply)
        if any(seq is not None for seq in announce.groups.values()):
            if len(self._tasks) >= COMPARISONS_MAX:
                self.skipped_comparisons += 1
                return
            self._spawn(self._compare(announce))

    def _on_online(self, message: bytes, reply: Reply | None) -> None:
        online = _ONLINE.decode(message)
        self._rosters.online(online.edge, online.users, online.gone, self._clock.monotonic_s())
        self._handover.told_of_users(online.edge, online.whole)
        self._acknowledge(reply)

    def _on_hint(self, message: bytes, reply: Reply | None) -> None:
        hint = _HINT.decode(message)
        for edge, users in by_edge_of_user(self._edges_of_user, hint.users).items():
            self._push_raw((edge,), _ENCODER.encode(Hint(hint.group, users, hint.seq)))

    def _on_pointer(self, message: bytes, reply: Reply | None) -> None:
        self._push_raw(self._edges_of_user(_POINTER.decode(message).user), message)

    def _edges_of_group(self, group: GroupId) -> Iterable[str]:
        edges = self._rosters.edges_of_group(group)
        if not self._handover:
            return edges
        return {**dict.fromkeys(edges), **dict.fromkeys(self._handover.silent_on_groups(partition_of(group)))}

    def _edges_of_user(self, user: UserId) -> Iterable[str]:
        edges = self._rosters.edges_of_user(user)
        if not self._handover:
            return edges
        return {**dict.fromkeys(edges), **dict.fromkeys(self._handover.silent_on_users(partition_of(user)))}

    def _acknowledge(self, reply: Reply | None) -> None:
        if reply is not None:
            reply(_ENCODER.encode(Announced(self._incarnation)))

    def _push_raw(self, edges: Iterable[str], message: bytes) -> None:
        for edge in edges:
            self.pushes += 1
            self._bus.publish(subjects.push(edge), message)

    def _push_traced(self, tracer: Tracer, edges: Iterable[str], stored: Stored, traces: Mapping[int, str]) -> None:
        """The same, for entries of which some are traced: edges go on from the spans made here."""
        began = ((seq, tracer.child("deliver", context, seq=seq)) for seq, context in traces.items())
        spans = {seq: span for seq, span in began if span is not None}
        onward = msgspec.structs.replace(stored, traces={seq: span.context for seq, span in spans.items()})
        before = self.pushes
        self._push_raw(edges, _ENCODER.encode(onward))
        for span in spans.values():
            span.end(edges=self.pushes - before)

    def _tell_heads(self, heads: Mapping[GroupId, int]) -> None:
        for edge, concerned in heads_by_edge(self._edges_of_group, heads).items():
            self._push_raw((edge,), _ENCODER.encode(Heads(concerned)))

    async def _compare(self, announce: Announce) -> None:
        try:
            behind = await heads_past(self._store, announce.groups)
        except StoreAway:
            return  # The sweep compares again.
        if behind:
            self._push_raw((announce.edge,), _ENCODER.encode(Heads(behind)))

    async def _sweep_for_ever(self) -> None:
        while True:
            self._rosters.forget_silent(self._clock.monotonic_s() - self._settings.edge_silent_s_max)
            await sweep(
                self._store,
                self._clock,
                self._rosters.groups(),
                duration_s=self._settings.sweep_interval_s,
                tell=self._tell_heads,
            )

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


_STORED = msgspec.msgpack.Decoder(Stored)
_HEADS = msgspec.msgpack.Decoder(Heads)
_ANNOUNCE = msgspec.msgpack.Decoder(Announce)
_ONLINE = msgspec.msgpack.Decoder(Online)
_HINT = msgspec.msgpack.Decoder(Hint)
_POINTER = msgspec.msgpack.Decoder(PointerMoved)
_ENCODER = msgspec.msgpack.Encoder()
