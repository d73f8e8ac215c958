"""The router: takes sends from the bus, batches them by group, has them decided, stored, answered and published."""

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeAlias

import msgspec

from folkmoot.model.entry import SALT_BYTES
from folkmoot.model.group import GroupState
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

TRIES_MAX = 12
BACKOFF_S = 0.002
BACKOFF_S_MAX = 0.5
HEADS_REPEAT_S = 4.0
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
        self._queues: dict[GroupId, deque[Pending]] = {}
        self._waiting = 0
        self._states: OrderedDict[GroupId, GroupState] = OrderedDict()
        self._moved: OrderedDict[GroupId, tuple[int, float]] = OrderedDict()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()
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
        if self._loop is None:
            # Kept: to ask for the running one is a system call in Python 3.11, for each send.
            self._loop = asyncio.get_running_loop()
        task = self._loop.create_task(self._work(group))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self, group: GroupId) -> None:
        queue = self._queues[group]
        try:
            while queue:
                taken = taken_from(queue, self._settings.batch_entries_max)
                done = 0
                try:
                    done = await self._settle(group, taken)
                except Exception:
                    # Nobody is answered what nobody knows: the gateways ask again.
                    _log.exception("routing failed", extra={"group": group})
                    self._states.pop(group, None)
                    done = len(taken)
                self._waiting -= done
                queue.extendleft(reversed(taken[done:]))
        finally:
            self._waiting -= len(queue)
            del self._queues[group]

    async def _settle(self, group: GroupId, taken: Sequence[Pending]) -> int:
        """Have the first of `taken` decided, stored and answered; how many were."""
        sends = [pending.submit.send for pending in taken]
        full = last_try = maybe = False
        code = "no_answer"
        batch: Batch | None = None
        for attempt in range(TRIES_MAX):
            try:
                if attempt:
                    await self._clock.sleep(self._backoff_s(attempt))
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
                    await self._append(batch.write, taken)
                    self._count(group, batch)
                self._recent.add(group, [(send.sender, send.send_id) for send in sends[: len(batch.rulings)]])
                await self._answer_and_publish(batch, taken)
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

    async def _append(self, write: Write, taken: Sequence[Pending]) -> None:
        spans = [] if self._tracer is None else begin_each(self._tracer, "append", taken)
        begun_s = self._clock.monotonic_s()
        try:
            head = await self._store.append(write)
        finally:
            for span in spans:
                span.end(entries=len(write.entries))
        self.append_seconds.observe(self._clock.monotonic_s() - begun_s)
        self._remember(msgspec.structs.replace(write.after, head=head))
        if self._fail_point is not None:
            await self._fail_point("appended")

    async def _answer_and_publish(self, batch: Batch, taken: Sequence[Pending]) -> None:
        for pending, ruling in zip(taken, batch.rulings, strict=False):
            pending.reply(_ENCODER.encode(ruling.answer))
        if batch.write is None or not batch.write.entries:
            return
        if self._fail_point is not None:
            await self._fail_point("answered")
        # Publish after the append, never before: an entry heard but not stored would vanish for members who reconnect.
        group = batch.write.group
        submitted_ms = min(pending.submit.submitted_ms for pending in taken[: len(batch.rulings)])
        entries = list(batch.write.entries)
        spans: Mapping[int, Span] = {}
        if self._tracer is not None:
            spans = begin_publishing(self._tracer, taken, batch.rulings, entries[0].seq)
        stored = Stored(group, entries, submitted_ms, contexts_of(spans))
        self._bus.publish(subjects.entries(group), _ENCODER.encode(stored))
        for span in spans.values():
            span.end()
        now_s = self._clock.monotonic_s()
        if batch.write.memberships:
            self._joiners.note(group, batch.write.memberships, now_s)
        self._moved[group] = (batch.write.after.head.seq, now_s)
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

    def _count(self, group: GroupId, batch: Batch) -> None:
        assert batch.write is not None
        self.batches += 1
        self.batch_entries.observe(len(batch.write.entries))
        self.appended += len(batch.write.entries)
        for sender, count in batch.refused.items():
            self.refused += count
            self._refusals.spend(group, sender, count, self._clock.monotonic_s())

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
            await self._clock.sleep(self._settings.heads_interval_s)
            self._ownership.release()
            oldest_s = self._clock.monotonic_s() - HEADS_REPEAT_S
            by_partition: dict[int, dict[GroupId, int]] = {}
            while self._moved:
                group, (_, at_s) = next(iter(self._moved.items()))
                if at_s >= oldest_s:
                    break
                del self._moved[group]
            for group, (seq, _) in self._moved.items():
                by_partition.setdefault(partition_of(group), {})[group] = seq
            for partition, heads in by_partition.items():
                self._bus.publish(subjects.heads(partition), _ENCODER.encode(Heads(heads)))
            for hint in self._joiners.since(oldest_s):
                self._bus.publish(subjects.hints(hint.users[0]), _ENCODER.encode(hint))


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
