"""The router: takes sends from the bus, batches them by group, has them decided, stored, answered and published."""

import asyncio
import functools
import logging
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from folkmoot.model.entry import SALT_BYTES
from folkmoot.model.group import GroupState, Head
from folkmoot.model.histogram import SECONDS, SIZES, Histogram
from folkmoot.model.ids import GroupId, partition_of
from folkmoot.model.partitions import ALL
from folkmoot.model.send import Outcome, Send, SendKey
from folkmoot.ports import subjects
from folkmoot.ports.bus import Bus, Reply
from folkmoot.ports.clock import Chance, Clock
from folkmoot.ports.ownership import Ownership
from folkmoot.ports.store import Conflict, Store, StoreAway, StoreFull, StoreUnknown, Write
from folkmoot.ports.subjects import Answer, Heads, Stored, Submit
from folkmoot.ports.traces import Span, Tracer
from folkmoot.router.audit import Audit
from folkmoot.router.batch import Batch, Rules, decide_batch, keys_of
from folkmoot.router.joiners import Joiners
from folkmoot.router.recent import RecentKeys
from folkmoot.router.refresh import refreshed
from folkmoot.router.refusals import RefusalBudget
from folkmoot.router.traced import begin_each, begin_publishing, contexts_of, end_routing

_log = logging.getLogger(__name__)

FailPoint: TypeAlias = Callable[[str], Awaitable[None]]
"""Called at `appended` (stored, not answered) and `answered` (not published). Only tests hand one in."""

BATCH_BYTES_MAX = 2 * 1_048_576
"""Of bodies in one conditional write, which a store takes whole or not at all. The rest is the next one's."""

SENDS_WAITING_MAX = 50_000
"""Of all groups. One more is not taken in: the gateway gets no answer and asks again."""

SLOW_APPEND_S_MIN = 0.005
GATHER_SHARE = 0.25
GATHER_S_MAX = 0.05
"""After an append that took long, and had several entries, the next of that group waits for a share of its time. Those
who were just answered come along with what waited meanwhile, where they would else take turns, half of them each."""

TRIES_MAX = 12
BACKOFF_S = 0.002
BACKOFF_S_MAX = 0.5
HEADS_REPEAT_S = 4.0
HEADS_SHARES_MAX = 32
HEADS_PER_SHARE_MIN = 8
HEADS_SPREAD = 0.25
"""Those of an interval are told of in shares, over this part of it: all at once would keep messages waiting."""

HEADS_MOVED_MAX = 100_000
"""Beyond it the oldest moved head is no longer repeated; sweeps find what that hid."""


class RouterSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of a router; `node/config.py` says why they are what they are."""

    batch_entries_max: int = 256
    groups_cached_max: int = 10_000
    refusals_per_minute: int = 10
    members_max: int = 100_000
    heads_interval_s: float = 1.0
    audit_interval_s: float = 10.0


class Pending(msgspec.Struct, frozen=True):
    """A send that waits, how to answer it, and the span of that where it is traced."""

    submit: Submit
    reply: Reply
    span: Span | None = None


class Router:
    """Whoever routes a group is only the likely winner: the store's condition is what makes an append right."""

    def __init__(
        self,
        store: Store,
        bus: Bus,
        clock: Clock,
        chance: Chance,
        settings: RouterSettings,
        *,
        fail_point: FailPoint | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        self._store = store
        self._bus = bus
        self._clock = clock
        self._chance = chance
        self._settings = settings
        self._fail_point = fail_point
        self._tracer = tracer
        self._refusals = RefusalBudget(settings.refusals_per_minute)
        self._recent = RecentKeys()
        self._joiners = Joiners()
        # By group under way: what waits until those before it are settled. Fresh ones begin in the loop's next turn.
        self._queues: dict[GroupId, deque[Pending]] = {}
        self._fresh: list[GroupId] = []
        self._waiting = 0
        self._states: OrderedDict[GroupId, GroupState] = OrderedDict()
        self._moved: OrderedDict[GroupId, tuple[int, float]] = OrderedDict()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Future[Any]] = set()
        self._audit = Audit(store, chance)
        self._lasting: list[asyncio.Task[None]] = []
        self._ownership = Ownership(bus, {"submit": self._on_submit})
        self.appended = 0
        self.refused = 0
        self.batches = 0
        self.conflicts = 0
        self.unknown = 0
        self.overflowed = 0
        self.batch_entries = Histogram(SIZES)
        self.append_seconds = Histogram(SECONDS)

    async def start(self, partitions: frozenset[int] = ALL) -> None:
        """Take sends of `partitions`."""
        self.own(partitions)
        self._lasting = [asyncio.create_task(self._repeat_heads()), asyncio.create_task(self._audit_for_ever())]

    async def stop(self) -> None:
        """Take nothing new, answer what was taken."""
        self._ownership.close()
        self._begin_fresh()
        while self._tasks:
            await asyncio.wait(self._tasks)
        for task in self._lasting:
            task.cancel()
        await asyncio.gather(*self._lasting, return_exceptions=True)

    def own(self, partitions: frozenset[int]) -> None:
        """From now on take sends of `partitions`; of those lost for a moment yet, until the next owner has begun."""
        self._ownership.own(partitions)

    def apply(self, settings: RouterSettings) -> None:
        """Go on with other settings, from the next batch on."""
        self._settings = settings
        self._refusals.per_minute = settings.refusals_per_minute

    def statistics(self) -> dict[str, int]:
        return {
            "waiting": self._waiting,
            "waiting_max": SENDS_WAITING_MAX,
            "appended": self.appended,
            "refused": self.refused,
            "batches": self.batches,
            "conflicts": self.conflicts,
            "unknown": self.unknown,
            "overflowed": self.overflowed,
            "groups_cached": len(self._states),
            "audited": self._audit.audited,
            "drift": self._audit.drift,
        }

    def histograms(self) -> dict[str, Histogram]:
        return {"batch_entries": self.batch_entries, "append_seconds": self.append_seconds}

    def _on_submit(self, message: bytes, reply: Reply | None) -> None:
        if reply is None or self._waiting >= SENDS_WAITING_MAX:
            self.overflowed += 1
            return
        submit = _SUBMIT.decode(message)
        group = submit.send.group
        span = None if self._tracer is None else self._tracer.child("route", submit.trace)
        pending = Pending(submit, reply, span)
        self._waiting += 1
        queue = self._queues.get(group)
        if queue is not None:
            queue.append(pending)
            return
        self._queues[group] = deque([pending])
        if not self._fresh:
            if self._loop is None:
                # Kept: to ask for the running one is a system call in Python 3.11, for each send.
                self._loop = asyncio.get_running_loop()
            self._loop.call_soon(self._begin_fresh)
        self._fresh.append(group)

    def _begin_fresh(self) -> None:
        fresh, self._fresh = self._fresh, []
        for group in fresh:
            self._begin(group)

    def _begin(self, group: GroupId) -> None:
        """Take the next batch of a group that has something waiting: by calls alone where it is plain, as most are."""
        taken = taken_from(self._queues[group], self._settings.batch_entries_max)
        try:
            if self._append_plainly(group, taken):
                return
        except Exception:
            _log.exception("a plain batch could not be begun", extra={"group": group})
        self._spawn(self._work(group, taken))

    def _append_plainly(self, group: GroupId, taken: list[Pending]) -> bool:
        """Begin to append; False where it takes a task: the state is not at hand, or it is not as simple."""
        state = self._states.get(group)
        if state is None or self._tracer is not None or self._fail_point is not None:
            return False
        batch = self._hoped_for(state, [pending.submit.send for pending in taken])
        if batch is None or batch.write is None:
            return False
        begun_s = self._clock.monotonic_s()
        appended = self._append(batch.write)
        self._tasks.add(appended)
        appended.add_done_callback(functools.partial(self._appended, taken, batch, batch.write, begun_s))
        return True

    def _appended(
        self, taken: list[Pending], batch: Batch, write: Write, begun_s: float, appended: asyncio.Future[Head]
    ) -> None:
        """A plain batch is in the log, or has to be settled with care."""
        self._tasks.discard(appended)
        if appended.cancelled():
            return
        error = appended.exception()
        if error is not None:
            self._spawn(self._work(write.group, taken, error))
            return
        pause_s = 0.0
        try:
            pause_s = gather_s(len(taken), self._note_append(batch, write, appended.result(), begun_s))
            self._recent.add(write.group, [(entry.sender, entry.send_id) for entry in write.entries])
            self._answer(batch, taken)
            self._publish(batch, taken)
        finally:
            self._end(write.group, taken, len(batch.rulings), pause_s)

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self, group: GroupId, taken: list[Pending], tried: BaseException | None = None) -> None:
        try:
            done = await self._settle(group, taken, tried)
        except Exception:
            # Nobody is answered what nobody knows: the gateways ask again.
            _log.exception("routing failed", extra={"group": group})
            self._states.pop(group, None)
            done = len(taken)
        self._end(group, taken, done)

    def _end(self, group: GroupId, taken: list[Pending], done: int, pause_s: float = 0.0) -> None:
        """The first of `taken` are settled: go on with the others, and with what has come meanwhile."""
        self._waiting -= done
        queue = self._queues[group]
        queue.extendleft(reversed(taken[done:]))
        if pause_s:
            self._spawn(self._gather(group, pause_s))
        elif queue:
            self._begin(group)
        else:
            del self._queues[group]

    async def _gather(self, group: GroupId, pause_s: float) -> None:
        await self._clock.sleep(pause_s)
        self._end(group, [], 0)

    async def _settle(self, group: GroupId, taken: Sequence[Pending], tried: BaseException | None) -> int:
        """Have the first of `taken` decided, stored and answered; how many were. `tried`: how a plain append failed."""
        sends = [pending.submit.send for pending in taken]
        full = last_try = maybe = False
        code = "no_answer"
        batch: Batch | None = None
        for attempt in range(TRIES_MAX):
            try:
                if attempt:
                    await self._clock.sleep(self._backoff_s(attempt))
                elif tried is not None:
                    raise tried
                state = await self._state(group, newer=attempt > 0 or last_try)
                batch = None if attempt else self._hoped_for(state, sends)
                if batch is None:
                    known = await self._store.outcomes(group, keys_of(sends))
                    batch = self._decide(state, sends, known, full=full, last_try=last_try)
                if batch.load_newer:
                    # Not a failure, so no back-off: the next round decides whatever the state then is.
                    last_try = True
                    state = await self._state(group, newer=True)
                    known = await self._store.outcomes(group, keys_of(sends))
                    batch = self._decide(state, sends, known, full=full, last_try=True)
                if batch.write is not None:
                    await self._append_with_care(batch, batch.write, taken)
                self._recent.add(group, [(send.sender, send.send_id) for send in sends[: len(batch.rulings)]])
                self._answer(batch, taken)
                if batch.write is not None and batch.write.entries:
                    if self._fail_point is not None:
                        await self._fail_point("answered")
                    self._publish(batch, taken)
                else:
                    self._note_found(group, batch)
                if self._tracer is not None:
                    for pending, ruling in zip(taken, batch.rulings, strict=False):
                        end_routing(pending, ruling.answer)
                return len(batch.rulings)
            except Conflict:
                self.conflicts += 1
            except StoreFull:
                if full:
                    code = "store_away"
                    break
                full = True
            except StoreUnknown:
                # Only what a later read shows, or a later conditional write, settles it: so decide again on both.
                self.unknown += 1
                self._states.pop(group, None)
                maybe = True
            except StoreAway:
                self._states.pop(group, None)
                code = "store_away"
        return self._leave_undecided(batch, taken, "store_unknown" if maybe else code)

    def _hoped_for(self, state: GroupState, sends: Sequence[Send]) -> Batch | None:
        """The batch if none of the sends was decided before, and all are appended; None where it is not as simple.

        The store has the last word: an append of what has an outcome is a Conflict, and is decided with care then.
        """
        if self._recent.has_any(state.group, keys_of(sends)):
            return None
        batch = self._decide(state, sends, {}, full=False, last_try=False)
        return batch if batch.only_appends else None

    def _decide(
        self,
        state: GroupState,
        sends: Sequence[Send],
        known: Mapping[SendKey, Outcome],
        *,
        full: bool,
        last_try: bool,
    ) -> Batch:
        now_s = self._clock.monotonic_s()
        rules = Rules(
            now_ms=self._clock.wall_ms(),
            members_max=self._settings.members_max,
            full=full,
            refusals_left=lambda sender: self._refusals.left(state.group, sender, now_s),
            salt=lambda: self._chance.token(SALT_BYTES),
            last_try=last_try,
        )
        return decide_batch(state, sends, known, rules)

    def _append(self, write: Write) -> asyncio.Future[Head]:
        appended = self._store.append(write)
        return appended if isinstance(appended, asyncio.Future) else asyncio.ensure_future(appended)

    async def _append_with_care(self, batch: Batch, write: Write, taken: Sequence[Pending]) -> None:
        spans = [] if self._tracer is None else begin_each(self._tracer, "append", taken)
        begun_s = self._clock.monotonic_s()
        try:
            head = await self._append(write)
        finally:
            for span in spans:
                span.end(entries=len(write.entries))
        self._note_append(batch, write, head, begun_s)
        if self._fail_point is not None:
            await self._fail_point("appended")

    def _answer(self, batch: Batch, taken: Sequence[Pending]) -> None:
        for pending, ruling in zip(taken, batch.rulings, strict=False):
            pending.reply(_ENCODER.encode(ruling.answer))

    def _publish(self, batch: Batch, taken: Sequence[Pending]) -> None:
        # Publish after the append, never before: an entry heard but not stored would vanish for members who reconnect.
        assert batch.write is not None
        group = batch.write.group
        submitted_ms = min([pending.submit.submitted_ms for pending in taken[: len(batch.rulings)]])
        entries = list(batch.write.entries)
        if self._tracer is None:
            self._bus.publish(subjects.entries(group), _ENCODER.encode(Stored(group, entries, submitted_ms)))
        else:
            spans = begin_publishing(self._tracer, taken, batch.rulings, entries[0].seq)
            stored = Stored(group, entries, submitted_ms, contexts_of(spans))
            self._bus.publish(subjects.entries(group), _ENCODER.encode(stored))
            for span in spans.values():
                span.end()
        now_s = self._clock.monotonic_s()
        if batch.write.memberships:
            self._joiners.note(group, batch.write.memberships, now_s)
        self._note_moved(group, batch.write.after.head.seq, now_s)

    def _note_found(self, group: GroupId, batch: Batch) -> None:
        """What was in the log already was perhaps never published: of a write that was not answered, nobody knew."""
        found = [r.answer.seq for r in batch.rulings if r.answer.seq is not None and not r.written]
        if found:
            seen = self._moved.get(group, (0, 0.0))[0]
            self._note_moved(group, max(*found, seen), self._clock.monotonic_s())

    def _note_moved(self, group: GroupId, seq: int, now_s: float) -> None:
        self._moved[group] = (seq, now_s)
        self._moved.move_to_end(group)
        if len(self._moved) > HEADS_MOVED_MAX:
            self._moved.popitem(last=False)

    def _leave_undecided(self, batch: Batch | None, taken: Sequence[Pending], code: str) -> int:
        rulings = batch.rulings if batch is not None else []
        for index, pending in enumerate(taken):
            send = pending.submit.send
            answer = Answer(send.group, send.send_id, code=code, retry_after_ms=1_000)
            if index < len(rulings) and not rulings[index].written:
                answer = rulings[index].answer
            pending.reply(_ENCODER.encode(answer))
            end_routing(pending, answer)
        return len(taken)

    def _note_append(self, batch: Batch, write: Write, head: Head, begun_s: float) -> float:
        """How many seconds it took."""
        now_s = self._clock.monotonic_s()
        took_s = now_s - begun_s
        self._remember(msgspec.structs.replace(write.after, head=head))
        self.append_seconds.observe(took_s)
        self.batches += 1
        self.batch_entries.observe(len(write.entries))
        self.appended += len(write.entries)
        for sender, count in batch.refused.items():
            self.refused += count
            self._refusals.spend(write.group, sender, count, now_s)
        return took_s

    async def _state(self, group: GroupId, *, newer: bool) -> GroupState:
        state = self._states.get(group)
        if state is None:
            state = await self._store.state(group)
        elif newer:
            state = await refreshed(self._store, state)
        self._remember(state)
        return state

    def _remember(self, state: GroupState) -> None:
        self._states[state.group] = state
        self._states.move_to_end(state.group)
        if len(self._states) > self._settings.groups_cached_max:
            self._states.popitem(last=False)

    def _backoff_s(self, attempt: int) -> float:
        return self._chance.draw() * min(BACKOFF_S_MAX, BACKOFF_S * float(2**attempt))

    async def _audit_for_ever(self) -> None:
        while True:
            await self._clock.sleep(self._settings.audit_interval_s)
            await self._audit.look(list(self._states.values()))

    async def _repeat_heads(self) -> None:
        while True:
            oldest_s = self._clock.monotonic_s() - HEADS_REPEAT_S
            for hint in self._joiners.since(oldest_s):
                self._bus.publish(subjects.hints(hint.users[0]), _ENCODER.encode(hint))
            told = list(self._heads_since(oldest_s).items())
            shares = max(1, min(HEADS_SHARES_MAX, len(told) // HEADS_PER_SHARE_MIN))
            for share in range(shares):
                for partition, heads in told[share::shares]:
                    self._bus.publish(subjects.heads(partition), _ENCODER.encode(Heads(heads)))
                await self._clock.sleep(HEADS_SPREAD * self._settings.heads_interval_s / shares)
            await self._clock.sleep((1 - HEADS_SPREAD) * self._settings.heads_interval_s)
            self._ownership.release()

    def _heads_since(self, oldest_s: float) -> dict[int, dict[GroupId, int]]:
        """What has moved since then, by partition; what moved before is forgotten."""
        while self._moved:
            group, (_, at_s) = next(iter(self._moved.items()))
            if at_s >= oldest_s:
                break
            del self._moved[group]
        by_partition: dict[int, dict[GroupId, int]] = {}
        for group, (seq, _) in self._moved.items():
            by_partition.setdefault(partition_of(group), {})[group] = seq
        return by_partition


def gather_s(entries: int, took_s: float) -> float:
    """How long to wait for more of a group, after an append of so many entries that took so long; 0: not at all."""
    if entries < 2 or took_s < SLOW_APPEND_S_MIN:
        return 0.0
    return min(GATHER_SHARE * took_s, GATHER_S_MAX)


def taken_from(queue: deque[Pending], entries_max: int) -> list[Pending]:
    """The first of the queue, taken out of it, up to either bound but one at least."""
    taken: list[Pending] = []
    size_bytes = 0
    while queue and len(taken) < entries_max:
        size_bytes += len(queue[0].submit.send.body)
        if taken and size_bytes > BATCH_BYTES_MAX:
            break
        taken.append(queue.popleft())
    return taken


_SUBMIT = msgspec.msgpack.Decoder(Submit)
_ENCODER = msgspec.msgpack.Encoder()
