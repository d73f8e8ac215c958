"""Routers that all write to the same groups on a Cassandra in memory whose statements are lost, late and unheard of.

Each seed is one run, the same in every process: what the writers ask, what becomes of statements, and the verdict on
what is in the tables afterwards, beside what was answered.
"""

import asyncio
import contextlib
import hashlib
import logging
import random
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from folkmoot.backends.cassandra.driver import Row
from folkmoot.backends.cassandra.migrate import Schema
from folkmoot.backends.cassandra.rows import bucket_of, key_of
from folkmoot.backends.cassandra.store import CassandraStore
from folkmoot.backends.memory.bus import MemoryBus
from folkmoot.model import body as bodies
from folkmoot.model.entry import MESSAGE, Entry, first_break, genesis
from folkmoot.model.fold import fold
from folkmoot.model.group import GroupState, empty_group
from folkmoot.model.ids import GroupId, UserId, group_id
from folkmoot.model.membership import Span
from folkmoot.model.send import SKIP, Send
from folkmoot.ports import subjects
from folkmoot.ports.store import GroupView, StoreAway, StoreBroken
from folkmoot.ports.subjects import Answer, Stored, Submit
from folkmoot.router.service import Router, RouterSettings
from folkmoot.testing.cassandra_replicas import Rates, Replicas, ReplicasDriver
from folkmoot.testing.virtual_loop import Process, VirtualLoop
from folkmoot.testing.world_clock import WorldChance, WorldClock

USERS: Final = ("user-1", "user-2", "user-3", "user-4")
OWNER: Final = USERS[0]
BURSTS: Final = 3
ASKED_MAX: Final = 4
ANSWER_S_MAX: Final = 3.0
KILLED_SHARE: Final = 0.1
"""Of those who are left without an answer to a write."""

BIG: Final = 1_000_000

_STORED: Final = msgspec.msgpack.Decoder(Stored)


class Life:
    """A router from its start until it is killed, with a store and a bus of its own."""

    def __init__(self, run: "Run", name: str) -> None:
        self.name = name
        self.process = run.loop.process(name)
        # In their order: of a set it would be that of their addresses.
        self.asked: dict[asyncio.Future[bytes], None] = {}
        self.process.context.run(self._begin, run, name)

    def kill(self) -> None:
        """Whoever waits for it is told that it is gone, and nothing else."""
        self.process.kill()
        for answer in list(self.asked):
            answer.cancel()

    def _begin(self, run: "Run", name: str) -> None:
        self.bus = MemoryBus()
        self.bus.subscribe("entries.*", lambda raw, _: run.published.extend(_STORED.decode(raw).entries))
        settings = RouterSettings(batch_entries_max=6, refusals_per_minute=1_000, audit_interval_s=4.0)
        store, clock, chance = run.store(self.process, name), WorldClock(run.loop), WorldChance(run.seed, name)
        self.router = Router(store, self.bus, clock, chance, settings)
        self.process.spawn(self.router.start())


class Run:
    """One seed: some routers, writers who ask any of them, readers who look on, and what all of them were told."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.loop = VirtualLoop(seed)
        self.replicas = Replicas(self.loop, seed)
        plan = random.Random(f"{seed}/plan")
        self.bucket_size = plan.choice((4, 5, 8))
        self.groups = [group_id(OWNER, f"make{n}") for n in range(plan.choice((1, 1, 2)))]
        lost, late, unheard = (plan.choice((0.0, 0.15, 0.3)) for _ in range(3))
        away, slow = plan.choice((0.0, 0.0, 0.03)), plan.choice((0.0, 0.05, 0.2))
        self.rates = Rates(away=away, lost=lost, late=late, unheard=unheard, slow=slow)
        self.lives_count = 0
        self.clients = self.loop.process("clients")
        self._troubled = self.loop.process("trouble")
        self.lives: list[Life] = []
        self.published: list[Entry] = []
        self.sent: list[Send] = []
        self.heard: list[tuple[Send, Answer]] = []
        self.joins: dict[tuple[GroupId, UserId], int] = {}
        self.seen: list[Entry] = []
        self.states: list[GroupState] = []
        self.views: list[tuple[UserId, GroupView]] = []
        self.wrong: list[str] = []
        self.finals: list[tuple[Send, Answer]] = []
        self._plan = plan

    def store(self, process: Process, name: str) -> CassandraStore:
        schema = Schema(version=1, epoch=1, datacenter="home", bucket_size=self.bucket_size)
        return CassandraStore(ReplicasDriver(self.replicas, process, name), schema)

    def violations(self) -> list[str]:
        """Live it to its end, and judge it."""
        errors = Errors(self.loop)
        with errors.alone(), warnings.catch_warnings():
            # In the end it is closed wherever it stands, and what that was to begin never begins.
            warnings.simplefilter("ignore", RuntimeWarning)
            self.loop.run(self._whole())
        return self.wrong + errors.told + self.loop.unhandled

    def digest(self) -> str:
        """Of all that was said, and of how many steps it took."""
        whole = msgspec.msgpack.encode((self.loop.steps, self.heard, self.published, self.seen))
        return hashlib.sha256(whole).hexdigest()[:16]

    async def _whole(self) -> None:
        self.lives = [self._new_life() for _ in range(self._plan.choice((2, 2, 3)))]
        for n, group in enumerate(self.groups):
            body = msgspec.json.encode({"name": "g", "members": USERS[1:3]})
            await self._see_through(_send(group, OWNER, f"make{n}", "group.created", body, 0), [self.lives[0]])
            self.joins |= {(group, user): 1 for user in USERS[:3]}
        self.replicas.rates = self.rates
        writers = [self.clients.spawn(self._write(n)) for n in range(self._plan.choice((3, 4)))]
        self.replicas.on_unknown = self._on_unknown
        reader, trouble = self.clients.spawn(self._look_on()), self._troubled.spawn(self._trouble())
        await asyncio.gather(*writers)
        for task in (reader, trouble):
            task.cancel()
        for life in self.lives:
            life.process.resume()
        self.replicas.rates, self.replicas.on_unknown = Rates(), None
        # What is late comes now, or before.
        await asyncio.sleep(5.0)
        await self._settle_all()
        for group in self.groups:
            try:
                self.wrong += await Verdict(self, group).judge()
            except StoreBroken as error:
                self.wrong.append(f"in the end the store is broken: {error}")

    def _new_life(self) -> Life:
        self.lives_count += 1
        return Life(self, f"router-{self.lives_count}")

    # What is done.

    async def _write(self, n: int) -> None:
        draw = random.Random(f"{self.seed}/writer {n}")
        user, last = USERS[n], dict[GroupId, str]()
        for burst in range(BURSTS):
            asking = []
            for k in range(draw.choice((1, 2, 3, 5))):
                group = draw.choice(self.groups)
                send = self._drawn_send(draw, group, user, f"{n}.{burst}.{k}", last.get(group))
                if send.sender == user:
                    last[send.group] = send.send_id
                self.sent.append(send)
                number = min(len(self.lives), draw.choice((1, 2, 2, 3)))
                asking.append(self._ask_until_answered(draw.random(), send, number))
            await asyncio.gather(*asking)
            await asyncio.sleep(draw.choice((0.0, 0.01, 0.1)))

    def _drawn_send(self, draw: random.Random, group: GroupId, user: UserId, send_id: str, before: str | None) -> Send:
        join = self.joins.get((group, user), 0)
        what, other = draw.random(), draw.choice(USERS)
        old = [send for send in self.sent if send.sender == user and send.group == group]
        if what < 0.15 and self.sent:
            return draw.choice(self.sent)
        if what < 0.25 and old:
            # Of one that is under way perhaps, or has long been decided.
            given_up = draw.choice(old[-3:])
            return _send(group, user, given_up.send_id, SKIP, b"", given_up.join)
        if what < 0.3 and old:
            used = draw.choice(old)
            return _send(group, user, used.send_id, MESSAGE, b'{"text":"another"}', used.join)
        if what < 0.42:
            return _send(group, user, send_id, SKIP, b"", join)
        if what < 0.47:
            return _send(group, user, send_id, MESSAGE, b"{}", join)
        if what < 0.52:
            return _send(group, user, send_id, "member.removed", msgspec.json.encode({"user": other}), join)
        if what < 0.59:
            return _send(group, user, send_id, "member.added", msgspec.json.encode({"users": [other]}), join)
        after = before if draw.random() < 0.2 else None
        return _send(group, user, send_id, MESSAGE, msgspec.json.encode({"text": send_id}), join, after)

    async def _ask_until_answered(self, drawn: float, send: Send, number: int) -> None:
        draw = random.Random(drawn)
        await asyncio.sleep(draw.choice((0.0, 0.01, 0.1)))
        for _ in range(ASKED_MAX):
            if await self._see_through(send, draw.sample(self.lives, number)):
                return
            await asyncio.sleep(draw.choice((0.01, 0.3)))

    async def _see_through(self, send: Send, lives: Sequence[Life]) -> bool:
        """Ask these, all at once; whether one has settled it."""
        answers = await asyncio.gather(*(self._ask(life, send) for life in lives))
        return any(answer is not None and _is_settled(answer) for answer in answers)

    async def _ask(self, life: Life, send: Send) -> Answer | None:
        answer: asyncio.Future[bytes] = self.loop.create_future()

        def give(asked: asyncio.Future[bytes]) -> None:
            if asked.exception() is None and not answer.done():
                answer.set_result(asked.result())

        def arrive() -> None:
            raw = msgspec.msgpack.encode(Submit(send))
            life.bus.request(subjects.submit(send.group), raw, timeout_s=60.0).add_done_callback(give)

        self.loop.call_soon(arrive, context=life.process.context)
        life.asked[answer] = None
        await asyncio.wait({answer}, timeout=ANSWER_S_MAX)
        del life.asked[answer]
        if not answer.done() or answer.cancelled():
            return None
        told = msgspec.msgpack.decode(answer.result(), type=Answer)
        self.heard.append((send, told))
        if told.seq is not None and send.kind == "member.added":
            for user in msgspec.json.decode(send.body)["users"]:
                self.joins[(send.group, user)] = max(told.seq, self.joins.get((send.group, user), 0))
        return told

    async def _trouble(self) -> None:
        """Now and then a router is killed and another begins, or stands still and then goes on."""
        draw = random.Random(f"{self.seed}/trouble")
        while True:
            await asyncio.sleep(draw.choice((0.05, 0.2, 1.0)))
            at = draw.randrange(len(self.lives))
            if draw.random() < 0.2:
                self._kill(self.lives[at])
            else:
                self.lives[at].process.pause()
                await asyncio.sleep(draw.choice((0.02, 0.5)))
                self.lives[at].process.resume()

    def _on_unknown(self, name: str, drawn: float) -> None:
        """Some are killed before they can see what became of a write."""
        for life in self.lives:
            if life.name == name and drawn < KILLED_SHARE:
                self.loop.call_later(0.05 * drawn / KILLED_SHARE, self._kill, life, context=self._troubled.context)

    def _kill(self, life: Life) -> None:
        if life in self.lives:
            life.kill()
            self.lives[self.lives.index(life)] = self._new_life()

    async def _look_on(self) -> None:
        """What is shown to whoever reads, meanwhile."""
        draw, store = random.Random(f"{self.seed}/reader"), self.store(self.clients, "reader")
        heads = dict.fromkeys(self.groups, 0)
        while True:
            group = draw.choice(self.groups)
            try:
                state = await store.state(group)
                first, count = max(1, state.head.seq - draw.randrange(4)), draw.randrange(1, 9)
                page = await store.read(group, Span(first, None), entries_max=count, bytes_max=BIG)
                back = await store.read_back(group, Span(1, None), entries_max=3, bytes_max=BIG)
                user = draw.choice(USERS)
                view = await store.view(group, user)
            except StoreAway:
                continue
            ends = [heads[group], state.head.seq, back[-1].seq, view.head.seq] if back and view else []
            if not ends or ends != sorted(ends):
                self.wrong.append(f"a reader was shown the heads {ends}, one after the other")
            for entries in (page, back):
                seqs = [entry.seq for entry in entries]
                if not seqs or seqs != list(range(seqs[0], seqs[-1] + 1)):
                    self.wrong.append(f"a reader was shown {seqs}")
            if len(page) < min(count, state.head.seq - first + 1) or page[0].seq != first:
                self.wrong.append(f"a reader was shown {len(page)} from {first} on, after the head {state.head.seq}")
            assert view is not None
            heads[group] = view.head.seq
            self.states.append(state)
            self.views.append((user, view))
            self.seen += page + back
            await asyncio.sleep(draw.choice((0.05, 0.3)))

    async def _settle_all(self) -> None:
        """Each send once more, now that all is well: of routers that were there, and of one that has just begun."""
        draw = random.Random(f"{self.seed}/settle")
        lives = [*self.lives, self._new_life()]
        asked = list(dict.fromkeys(self.sent))
        draw.shuffle(asked)
        while asked:
            burst, asked = asked[:12], asked[12:]
            answers = await asyncio.gather(*(self._ask(draw.choice(lives), send) for send in burst))
            for send, answer in zip(burst, answers, strict=True):
                if answer is None:
                    self.wrong.append(f"{_named(send)} is not answered though all is well")
                else:
                    self.finals.append((send, answer))


class Verdict:
    """What is wrong with one group at the end of a run, by what a store says of it that saw nothing of all that."""

    def __init__(self, run: Run, group: GroupId) -> None:
        self.wrong: list[str] = []
        self._run = run
        self._group = group
        self._driver = ReplicasDriver(run.replicas, run.loop.main, "judge")
        self._store = run.store(run.loop.main, "judge")
        self._log: list[Entry] = []
        # By seq: what the log makes of the group up to there.
        self._folded = [empty_group(group, 1, 1)]

    async def judge(self) -> list[str]:
        while page := await self._store.read(self._group, Span(len(self._log) + 1, None), entries_max=3, bytes_max=BIG):
            self._log += page
        broken = first_break(genesis(self._group), 0, self._log)
        if broken is not None or not self._log:
            return [f"the chain breaks at {broken}, of {len(self._log)} entries"]
        for entry in self._log:
            self._folded.append(fold(self._folded[-1], entry))
        self._judge_what_was_shown()
        await self._judge_projections()
        await self._judge_outcomes()
        self._judge_answers()
        return self.wrong

    def _judge_what_was_shown(self) -> None:
        for what, entries in (("published", self._run.published), ("shown", self._run.seen)):
            for entry in entries:
                if entry.group == self._group and self._log[entry.seq - 1 : entry.seq] != [entry]:
                    self.wrong.append(f"entry {entry.seq} was {what}, and is not in the log")
        for state in self._run.states:
            if state.group == self._group:
                self._judge_state("a reader", state)
        for user, view in self._run.views:
            if view.group == self._group:
                self._judge_view(user, view)

    async def _judge_projections(self) -> None:
        last, state = self._folded[-1], await self._store.state(self._group)
        if state.head.seq != last.head.seq:
            self.wrong.append(f"the head is {state.head.seq}, the log's end {last.head.seq}")
        self._judge_state("in the end everyone", state)
        lasting = {user: stay for user in USERS if (stay := last.membership(user)) is not None}
        if dict(await self._store.members(self._group, after="", rows_max=9)) != lasting:
            self.wrong.append("its list of members is not the log's")
        for user in USERS:
            view = await self._store.view(self._group, user)
            assert view is not None
            self._judge_view(user, view)
            # Only now: of a write that nobody has answered yet, a view may count the entry and not the pointer.
            sent = max((e.seq for e in self._log if e.kind == MESSAGE and e.sender == user), default=0)
            if view.read != sent:
                self.wrong.append(f"{user} has read up to {view.read}, and sent {sent}")
            listed = self._group in await self._store.groups_of(user, after="", rows_max=9)
            if listed != (user in lasting):
                self.wrong.append(f"{user} {'has' if listed else 'lacks'} the group in the list")

    def _judge_state(self, who: str, state: GroupState) -> None:
        right = self._right_at(who, state.head.seq)
        if right is None:
            return
        for field in ("name", "open", "memberships", "members_count", "owners_count", "time_ms"):
            if getattr(state, field) != getattr(right, field):
                self.wrong.append(f"{who} was shown another {field} at {state.head.seq} than the log makes")
        if (state.head.hash, state.head.messages) != (right.head.hash, right.head.messages):
            self.wrong.append(f"{who} was shown a head at {state.head.seq} that is not the log's")

    def _right_at(self, who: str, seq: int) -> GroupState | None:
        """What the log makes of the group up to there; None, and it is wrong, where there is no such entry."""
        if seq < len(self._folded):
            return self._folded[seq]
        self.wrong.append(f"{who} was shown the head {seq}, which is past the log")
        return None

    def _judge_view(self, user: UserId, view: GroupView) -> None:
        right = self._right_at(user, view.head.seq)
        if right is None:
            return
        shown = (view.head.hash, view.name, view.members_count, view.memberships)
        if shown != (right.head.hash, right.name, right.members_count, right.memberships.get(user, ())):
            self.wrong.append(f"{user} was shown another group at {view.head.seq} than the log makes")

    async def _judge_outcomes(self) -> None:
        """As they stand in the tables: one for each send, with its entry; and in the index once that has to have it."""
        found: dict[str, tuple[int, int | None, str | None]] = {}
        newest = bucket_of(len(self._log), self._run.bucket_size)
        rows = await self._driver.read("SELECT group_id, key, at_seq, code FROM outcomes", ())
        index = {key: (seq, code) for group, key, seq, code in rows if group == self._group}
        for bucket in range(newest + 2):
            for key, seq, code in await self._rows("key, at_seq, code", bucket, "slot = 0"):
                if key in found:
                    self.wrong.append(f"{key} has two outcomes, in buckets {found[key][0]} and {bucket}")
                found[key] = (bucket, seq, code)
                indexed = index.get(key)
                if indexed != (seq, code) and (indexed or bucket <= newest - 2):
                    self.wrong.append(f"{key}: {(seq, code)}, and in the index {indexed}")
            slots = [row[0] for row in await self._rows("slot", bucket, "slot >= 1")]
            if slots != [e.seq for e in self._log if bucket_of(e.seq, self._run.bucket_size) == bucket]:
                self.wrong.append(f"bucket {bucket} holds {slots}")
        told = {key: seq for key, (_, seq, _) in found.items() if seq is not None}
        if told != {key_of((e.sender, e.send_id)): e.seq for e in self._log}:
            self.wrong.append("the outcomes name other entries than there are")

    async def _rows(self, columns: str, bucket: int, where: str) -> list[Row]:
        cql = f"SELECT {columns} FROM log WHERE group_id = ? AND bucket = ? AND {where}"
        return await self._driver.read(cql, (self._group, bucket))

    def _judge_answers(self) -> None:
        by_key = {(entry.sender, entry.send_id): entry for entry in self._log}
        settled: dict[Send, int | str] = {}
        for send, answer in self._run.heard:
            if send.group != self._group or (answer.seq is None and not answer.definite):
                continue
            said = "refused" if answer.seq is None else answer.seq
            if settled.setdefault(send, said) != said:
                self.wrong.append(f"{_named(send)} was answered {settled[send]}, and {said}")
            entry = by_key.get((send.sender, send.send_id))
            if answer.seq is not None:
                if entry is None or entry.seq != answer.seq or not _is_of(entry, send):
                    self.wrong.append(f"{_named(send)} was answered {answer.seq}, and is not that entry")
            elif entry is not None and (answer.code != "send_id_conflict" or _is_of(entry, send)):
                self.wrong.append(f"{_named(send)} was refused ({answer.code}), and is entry {entry.seq}")
        for send, answer in self._run.finals:
            if send.group != self._group:
                continue
            # Nothing of it is stored where a membership is over: whoever comes back to the group is asked anew.
            may_stay = answer.code in ("not_taken", "out_of_turn") and not isinstance(settled.get(send), int)
            if not _is_settled(answer) and not may_stay:
                self.wrong.append(f"{_named(send)} is left undecided though all is well: {answer.code}")
            entry, before = by_key.get((send.sender, send.send_id)), by_key.get((send.sender, send.after or ""))
            if entry is not None and before is not None and entry.seq < before.seq and _is_of(entry, send):
                self.wrong.append(f"{_named(send)} is entry {entry.seq}, and what it is after entry {before.seq}")


class Errors(logging.Handler):
    """What is logged as an error, or worse, while the loop runs."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__(logging.ERROR)
        self.told: list[str] = []
        self._loop = loop

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else is told, of these or of lesser things."""
        logger = logging.getLogger("folkmoot")
        before = logger.handlers, logger.level, logger.propagate
        logger.handlers, logger.level, logger.propagate = [self], logging.ERROR, False
        try:
            yield
        finally:
            logger.handlers, logger.level, logger.propagate = before

    def emit(self, record: logging.LogRecord) -> None:
        if self._loop.is_over:
            return
        why = f": {record.exc_info[1]!r}" if record.exc_info else ""
        self.told.append(f"logged: {record.getMessage()}{why}")


def _send(
    group: GroupId, sender: UserId, send_id: str, kind: str, body: bytes, join: int, after: str | None = None
) -> Send:
    return Send(group=group, sender=sender, device="d", send_id=send_id, join=join, after=after, kind=kind, body=body)


def _is_settled(answer: Answer) -> bool:
    return answer.seq is not None or answer.definite


def _is_of(entry: Entry, send: Send) -> bool:
    """Whether the entry is what was asked for; giving up asks for nothing."""
    if send.kind == SKIP:
        return True
    try:
        body = bodies.canonical(bodies.parse_body(send.kind, send.body))
    except bodies.BodyInvalid:
        return False
    return (entry.kind, entry.body) == (send.kind, body)


def _named(send: Send) -> str:
    return f"{send.kind} {send.send_id} of {send.sender}"


def failures(seeds: Iterable[int]) -> Iterator[tuple[int, list[str]]]:
    """Those of the seeds that fail, each with what is wrong."""
    for seed in seeds:
        wrong = Run(seed).violations()
        if wrong:
            yield seed, wrong
