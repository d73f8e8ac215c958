"""All feeds of this edge: opened when first needed, announced to delivery, pushed to, swept, closed when idle."""

import asyncio
import itertools
from collections.abc import Coroutine, Iterable, Sequence

import msgspec

from folkmoot.gateway.feed import Feed, FeedEnded, Tally
from folkmoot.model.ids import GroupId, partition_of
from folkmoot.ports import subjects
from folkmoot.ports.bus import Bus, BusClosed, NoAnswer
from folkmoot.ports.clock import Clock
from folkmoot.ports.store import Store, StoreAway
from folkmoot.ports.subjects import Announce, Announced

ANNOUNCE_TIMEOUT_S = 2.0
ANNOUNCEMENTS_AT_ONCE = 32
OPEN_TRIES_MAX = 20
OPEN_RETRY_S = 0.1
IDLE_S_MAX = 30.0
"""A feed with nobody on it is kept this long, for those who come straight back."""

GROUPS_PER_LOOK_MAX = 500


class Feeds:
    """The feeds by group. At most one opening of a group is under way, however many ask."""

    def __init__(self, edge: str, store: Store, bus: Bus, clock: Clock) -> None:
        self.edge = edge
        self._store = store
        self._bus = bus
        self._clock = clock
        self._feeds: dict[GroupId, Feed] = {}
        self._opening: dict[GroupId, asyncio.Task[Feed]] = {}
        self._incarnations: dict[int, str] = {}
        self._unacknowledged: dict[GroupId, None] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.broken = 0
        self.tally = Tally()

    def get(self, group: GroupId) -> Feed | None:
        return self._feeds.get(group)

    def count(self) -> int:
        return len(self._feeds)

    async def open(self, group: GroupId) -> Feed:
        """The live feed of a group that exists. Raises StoreAway, FeedEnded (the group is not there, or it broke)."""
        feed = self._feeds.get(group)
        if feed is not None and feed.live:
            return feed
        opening = self._opening.get(group)
        if opening is None:
            opening = self._opening[group] = asyncio.create_task(self._open(group))
            opening.add_done_callback(lambda _: self._opening.pop(group, None))
        feed = await asyncio.shield(opening)
        if not feed.live:
            # Of those who waited for it, one who was woken before has ended it: nothing is pushed to it any more.
            raise FeedEnded(group)
        return feed

    async def announce(self, groups: Iterable[GroupId] | None = None) -> None:
        """Tell delivery where the feeds of `groups` (all, where None) stand, and learn who owns their partitions."""
        standing = self._standing(list(self._feeds) if groups is None else groups)
        await self._announce_each(self._announce(partition, announced, []) for partition, announced in standing.items())

    async def announce_partitions(self, partitions: Sequence[int]) -> None:
        """Tell who has taken over `partitions` of all feeds there, also where there are none."""
        wanted = set(partitions)
        standing = self._standing([group for group in self._feeds if partition_of(group) in wanted])
        await self._announce_each(
            self._announce(partition, announced, [], whole=[partition]) for partition, announced in standing.items()
        )
        if empty := [partition for partition in partitions if partition not in standing]:
            # Whoever asked hears this as the owner of any of them.
            await self._announce(empty[0], {}, [], whole=empty)

    def _standing(self, groups: Iterable[GroupId]) -> dict[int, dict[GroupId, int | None]]:
        by_partition: dict[int, dict[GroupId, int | None]] = {}
        for group in groups:
            feed = self._feeds.get(group)
            if feed is not None:
                by_partition.setdefault(partition_of(group), {})[group] = feed.seq if feed.live else None
        return by_partition

    async def sweep(self, *, duration_s: float) -> None:
        """Compare every feed with the store, spread over `duration_s`: what nothing else repaired is found here."""
        groups = list(self._feeds)
        looks = max(1, -(-len(groups) // GROUPS_PER_LOOK_MAX))
        for look in range(looks):
            chunk = groups[look * GROUPS_PER_LOOK_MAX : (look + 1) * GROUPS_PER_LOOK_MAX]
            if chunk:
                await self._compare(chunk)
            await self._clock.sleep(duration_s / looks)

    async def close_idle(self) -> None:
        """Close the feeds that have had nobody on them for a while, and say so."""
        oldest_s = self._clock.monotonic_s() - IDLE_S_MAX
        gone: dict[int, list[GroupId]] = {}
        for group, feed in list(self._feeds.items()):
            if feed.idle_since_s is not None and feed.idle_since_s < oldest_s and feed.live:
                feed.end()
                gone.setdefault(partition_of(group), []).append(group)
        for partition, groups in gone.items():
            # Someone may have come back to one of them while the others were told of.
            await self._announce(partition, {}, [group for group in groups if group not in self._feeds])

    async def compare_unacknowledged(self) -> None:
        """Compare with the store the feeds that no owner has acknowledged, and announce them again."""
        groups = [group for group in self._unacknowledged if group in self._feeds]
        self._unacknowledged.clear()
        for start in range(0, len(groups), GROUPS_PER_LOOK_MAX):
            await self._compare(groups[start : start + GROUPS_PER_LOOK_MAX])
        await self.announce(groups)

    async def close(self) -> None:
        for task in (*self._tasks, *self._opening.values()):
            task.cancel()
        await asyncio.gather(*self._tasks, *self._opening.values(), return_exceptions=True)
        for feed in list(self._feeds.values()):
            feed.end()

    async def _open(self, group: GroupId) -> Feed:
        feed = Feed(group, self._store, self._clock, self._forget, self.tally)
        self._feeds[group] = feed
        try:
            # Announced first, the head read after: what is stored between the two is pushed, and so not missed.
            await self._announce(partition_of(group), {group: None}, [])
            for _ in range(OPEN_TRIES_MAX):
                try:
                    head = await self._store.head(group)
                    break
                except StoreAway:
                    await self._clock.sleep(OPEN_RETRY_S)
            else:
                raise StoreAway(group)
            if head is None:
                raise FeedEnded(group)
            feed.start(head)
        except BaseException:
            feed.end()
            raise
        return feed

    async def _announce_each(self, announcements: Iterable[Coroutine[object, object, None]]) -> None:
        """Some at once: an owner that has died keeps each waiting for as long as a request may take."""
        waiting = iter(announcements)
        while chunk := list(itertools.islice(waiting, ANNOUNCEMENTS_AT_ONCE)):
            await asyncio.gather(*chunk)

    async def _announce(
        self, partition: int, groups: dict[GroupId, int | None], gone: list[GroupId], *, whole: Sequence[int] = ()
    ) -> None:
        message = _ENCODER.encode(Announce(self.edge, groups, gone, list(whole)))
        try:
            raw = await self._bus.request(subjects.announce(partition), message, timeout_s=ANNOUNCE_TIMEOUT_S)
        except (NoAnswer, BusClosed):
            self._unacknowledged.update(dict.fromkeys(groups))
            return
        incarnation = _ANNOUNCED.decode(raw).incarnation
        known = self._incarnations.get(partition)
        self._incarnations[partition] = incarnation
        if known is not None and known != incarnation:
            others = [g for g in self._feeds if partition_of(g) == partition and g not in groups]
            self._spawn(self.announce(others))

    async def _compare(self, groups: list[GroupId]) -> None:
        before = {
            group: (feed.seq, feed.hash)
            for group in groups
            if (feed := self._feeds.get(group)) is not None and feed.live
        }
        try:
            heads = await self._store.heads(list(before))
        except StoreAway:
            return
        for group, (seq, mark) in before.items():
            feed = self._feeds.get(group)
            if feed is None or not feed.live:
                continue
            head = heads.get(group)
            # The same number with another hash: the store was set back, and has been written to since.
            if head is None or head.seq < seq or (head.seq == seq and head.hash != mark):
                self.broken += 1
                feed.end()
            else:
                feed.heard_head(head.seq)

    def _forget(self, feed: Feed) -> None:
        if self._feeds.get(feed.group) is feed:
            del self._feeds[feed.group]

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


_ENCODER = msgspec.msgpack.Encoder()
_ANNOUNCED = msgspec.msgpack.Decoder(Announced)
