"""The gateway: one edge's connections, feeds and sends, and the few tasks that serve them all."""

import asyncio
import contextlib
import logging
from collections.abc import Coroutine, Mapping, Sequence

import msgspec

from folkmoot.gateway.access import Access
from folkmoot.gateway.announcer import Announcer
from folkmoot.gateway.connection import Connection
from folkmoot.gateway.feed import Feed
from folkmoot.gateway.feeds import Feeds
from folkmoot.gateway.outlet import Outlet
from folkmoot.gateway.pointers import Pointers
from folkmoot.gateway.presence import Presence
from folkmoot.gateway.queries import Queries
from folkmoot.gateway.revocation import Revocation
from folkmoot.gateway.submit import Submitter
from folkmoot.gateway.wheel import Wheel
from folkmoot.model.entry import Entry
from folkmoot.model.histogram import SECONDS, Histogram
from folkmoot.model.ids import UserId
from folkmoot.ports import subjects
from folkmoot.ports.bus import Bus, Reply, Subscription
from folkmoot.ports.clock import Chance, Clock
from folkmoot.ports.store import Store, StoreAway
from folkmoot.ports.subjects import Heads, Hint, PointerMoved, Push, Recall, Stored
from folkmoot.ports.traces import Tracer
from folkmoot.protocol.limits import LIST_ROWS_MAX

_log = logging.getLogger(__name__)


class GatewaySettings(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of a gateway; `node/config.py` says why they are what they are."""

    sends_per_s: float = 50.0
    sends_burst: float = 100.0
    events_per_s: float = 200.0
    events_burst: float = 1_000.0
    requests_per_s: float = 100.0
    requests_burst: float = 200.0
    ping_interval_s: float = 25.0
    reads_at_once_max: int = 64
    ask_again_s: float = 2.0
    asks_max: int = 3
    announce_interval_s: float = 120.0
    sweep_interval_s: float = 300.0
    tick_s: float = 1.0
    drain_spread_ms: int = 5_000
    drain_answers_s_max: float = 5.0


class Gateway:
    """What a transport opens connections on. Holds no truth: a client goes on with its positions at any other."""

    def __init__(
        self,
        store: Store,
        bus: Bus,
        clock: Clock,
        chance: Chance,
        access: Access,
        wheel: Wheel,
        settings: GatewaySettings | None = None,
        *,
        tracer: Tracer | None = None,
    ) -> None:
        self.settings = settings or GatewaySettings()
        self.store = store
        self.clock = clock
        self.access = access
        self.wheel = wheel
        self.edge = chance.token(8).hex()
        self.feeds = Feeds(self.edge, store, bus, clock)
        self.presence = Presence(self.edge, bus)
        self.announcer = Announcer(self.feeds, self.presence, self.spawn)
        self.pointers = Pointers(store, bus, self.feeds.get)
        self.queries = Queries(store, self.pointers)
        asking = self.settings
        self.submitter = Submitter(bus, clock, ask_again_s=asking.ask_again_s, asks_max=asking.asks_max, tracer=tracer)
        self.reading = asyncio.Semaphore(self.settings.reads_at_once_max)
        self.draining = False
        self.resets = 0
        self.fell_behind = 0
        self.caught_up = 0
        self.pushed_s = Histogram(SECONDS)
        self._tracer = tracer
        self._bus = bus
        self.chance = chance
        self._connections: set[Connection] = set()
        self._of_user: dict[UserId, list[Connection]] = {}
        self._ends: dict[str, int] = {}
        self._subscriptions: list[Subscription] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.revocation = Revocation(access, clock, self._connections, self._of_user)

    @property
    def connections(self) -> int:
        return len(self._connections)

    async def start(self) -> None:
        push = self._bus.subscribe(subjects.push(self.edge), self._on_push, on_gap=self.announcer.recalled)
        recall = self._bus.subscribe(subjects.RECALL, self._on_recall)
        standing = self._bus.subscribe(subjects.STANDING, self.revocation.on_moved, on_gap=self.revocation.look_at_all)
        self._subscriptions = [push, recall, standing]
        self.access.verifier.on_change.append(self.revocation.signers_replaced)
        self.spawn(self.revocation.run())
        self.spawn(self.wheel.run())
        self.spawn(self._tick())
        self.spawn(self._announce_for_ever())
        self.spawn(self._sweep_for_ever())

    async def drain(self) -> None:
        """Take no new sends, answer those taken, and send everybody to connect again, spread over some seconds."""
        self.draining = True
        await self.submitter.finish(timeout_s=self.settings.drain_answers_s_max)
        await self.pointers.flush()
        for connection in list(self._connections):
            delay_ms = int(self.chance.draw() * self.settings.drain_spread_ms)
            connection.end("server_draining", reconnect_after_ms=delay_ms)

    async def stop(self) -> None:
        for subscription in self._subscriptions:
            subscription.cancel()
        with contextlib.suppress(ValueError):  # It may be stopped though it never came to be started.
            self.access.verifier.on_change.remove(self.revocation.signers_replaced)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # Once more: what was taken and answered since the drain, and what the tick was writing as it was cancelled.
        try:
            await self.pointers.flush()
        except Exception:
            _log.exception("read pointers could not be written")
        await self.submitter.close()
        await self.feeds.close()

    def apply(self, settings: GatewaySettings) -> None:
        """Go on with other settings, on open connections too. What is made at the start stays as it was made."""
        self.settings = settings
        self.submitter.ask_again_s, self.submitter.asks_max = settings.ask_again_s, settings.asks_max
        for connection in self._connections:
            connection.retune()

    def open(self, outlet: Outlet) -> Connection:
        """A new connection over `outlet`."""
        connection = Connection(self, outlet)
        self.take_on(connection)
        return connection

    def take_on(self, connection: Connection) -> None:
        """A connection that a transport has made itself."""
        self._connections.add(connection)
        self.wheel.opened(connection)

    def ready(self, connection: Connection, expires_ms: int | None) -> None:
        """The connection has said who it is."""
        self.wheel.ready(connection, expires_ms)
        self.presence.add(connection.user)
        # Also for who names groups alone: read pointers that other devices move come by the user's roster.
        self.spawn(self._tell_online(connection.user))
        self._of_user.setdefault(connection.user, []).append(connection)

    def gone(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self.wheel.gone(connection)
        if connection.user:
            self.presence.remove(connection.user)
            left = [other for other in self._of_user.get(connection.user, ()) if other is not connection]
            if left:
                self._of_user[connection.user] = left
            else:
                self._of_user.pop(connection.user, None)

    def count_end(self, code: str) -> None:
        self._ends[code] = self._ends.get(code, 0) + 1

    def spawn(self, work: Coroutine[object, object, None]) -> None:
        """Run `work` until it ends or the gateway stops."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def statistics(self) -> dict[str, int]:
        """What is counted as it happens, and what is looked at now: two figures of each socket, for all of them."""
        tally, submitter = self.feeds.tally, self.submitter
        buffered = [connection.outlet.buffered() for connection in self._connections]
        return {
            "connections": len(self._connections),
            "users": len(self._of_user),
            "sends": submitter.sends,
            **{f"answers_{outcome}": count for outcome, count in submitter.outcomes.items()},
            "deliveries": tally.deliveries,
            "write_errors": tally.write_errors,
            "feeds": self.feeds.count(),
            "feeds_behind": len(tally.filling),
            "lag_entries": sum(feed.lag for feed in tally.filling),
            "feeds_filled": tally.filled,
            "feeds_broken": self.feeds.broken,
            "resets": self.resets,
            "fell_behind": self.fell_behind,
            "caught_up": self.caught_up,
            "slow_readers": sum(connection.is_paused for connection in self._connections),
            "buffered_bytes": sum(buffered),
            "buffered_bytes_largest": max(buffered, default=0),
            "no_answer": submitter.no_answer,
            **{f"ended_{code}": count for code, count in sorted(self._ends.items())},
        }

    def histograms(self) -> dict[str, Histogram]:
        return {"accepted_seconds": self.submitter.accepted_s, "pushed_seconds": self.pushed_s}

    def _on_push(self, message: bytes, reply: Reply | None) -> None:
        push = _PUSH.decode(message)
        match push:
            case Stored():
                feed = self.feeds.get(push.group)
                if feed is not None and push.entries:
                    self._push(feed, push)
            case Heads():
                for group, seq in push.heads.items():
                    feed = self.feeds.get(group)
                    if feed is not None:
                        feed.heard_head(seq)
            case Hint():
                for user in push.users:
                    for connection in self._of_user.get(user, ()):
                        connection.added(push.group)
            case PointerMoved():
                self._tell_pointer(push)

    def _push(self, feed: Feed, stored: Stored) -> None:
        before = feed.seq
        if self._tracer is not None and stored.traces is not None:
            self._push_traced(self._tracer, feed, stored.entries, stored.traces)
        else:
            feed.push(stored.entries)
        # Old entries, and those of a feed that is being filled, were not written now.
        if stored.submitted_ms and feed.seq != before:
            self.pushed_s.observe((self.clock.wall_ms() - stored.submitted_ms) / 1_000)

    def _push_traced(self, tracer: Tracer, feed: Feed, entries: Sequence[Entry], traces: Mapping[int, str]) -> None:
        spans = [tracer.child("push", context, seq=seq, edge=self.edge) for seq, context in traces.items()]
        before = self.feeds.tally.deliveries
        feed.push(entries)
        for span in spans:
            if span is not None:
                span.end(deliveries=self.feeds.tally.deliveries - before)

    def _tell_pointer(self, moved: PointerMoved) -> None:
        feed = self.feeds.get(moved.group)
        for connection in self._of_user.get(moved.user, ()):
            connection.pointer_moved(moved, feed)

    async def _tell_online(self, user: UserId) -> None:
        await self.presence.told(user)

    def _on_recall(self, message: bytes, reply: Reply | None) -> None:
        self.announcer.recalled(_RECALL.decode(message).partitions)

    async def _announce_for_ever(self) -> None:
        while True:
            await self.clock.sleep(self.settings.announce_interval_s)
            await self.presence.tell_all()
            await self.feeds.announce()

    async def _tick(self) -> None:
        while True:
            await self.clock.sleep(self.settings.tick_s)
            try:
                await self.pointers.flush()
                await self.presence.tell_gone()
                await self.feeds.close_idle()
                await self.feeds.compare_unacknowledged()
            except StoreAway:
                continue
            except Exception:
                _log.exception("gateway tick failed")

    async def _sweep_for_ever(self) -> None:
        """The last resort: whatever was lost, feeds, users' groups and their standings are compared with the store."""
        while True:
            await self.feeds.sweep(duration_s=self.settings.sweep_interval_s / 2)
            users = self.presence.users()
            pause_s = self.settings.sweep_interval_s / 2 / max(1, len(users))
            for user in users:
                self.revocation.look_at(user)
                with contextlib.suppress(StoreAway):
                    await self._reread_groups(user)
                await self.clock.sleep(pause_s)
            if not users:
                await self.clock.sleep(pause_s)

    async def _reread_groups(self, user: UserId) -> None:
        after = ""
        while True:
            groups = await self.store.groups_of(user, after=after, rows_max=LIST_ROWS_MAX)
            for connection in self._of_user.get(user, ()):
                for group in groups:
                    connection.added(group)
            if len(groups) < LIST_ROWS_MAX:
                return
            after = groups[-1]


_PUSH = msgspec.msgpack.Decoder(Push)
_RECALL = msgspec.msgpack.Decoder(Recall)
