"""The suite that judges a store: every sentence of `ports.store.Store`, for any backend.

A test module runs each of `CHECKS` against a harness:

    @pytest.mark.parametrize("check", CHECKS, ids=name_of)
    def test_my_store(check, tmp_path):
        asyncio.run(check(MyHarness(tmp_path)))
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol, TypeAlias

import msgspec

from folkmoot.model.entry import Entry, first_break, genesis, sealed
from folkmoot.model.fold import fold_all
from folkmoot.model.group import GroupState, Head, empty_group
from folkmoot.model.ids import GroupId, UserId, group_id
from folkmoot.model.membership import Membership, Span
from folkmoot.model.send import SKIP, Appended, Refused, Send
from folkmoot.ports.store import Conflict, MovedPointer, Store, StoreAway, Write
from folkmoot.router.batch import Rules, decide_batch

BIG = 1_000_000
OWNER, OTHER = "user-1", "user-2"


class StoreHarness(Protocol):
    """How the suite opens a store, and takes its process away."""

    async def open(self) -> Store:
        """A store over what is durable: nothing at first."""

    async def crash(self) -> None:
        """The process is gone, and with it whatever was not durable."""


Check: TypeAlias = Callable[[StoreHarness], Awaitable[None]]
CHECKS: Final[list[Check]] = []
"""Every check of the suite, in the order in which they are best read."""


def name_of(check: Check) -> str:
    """What to call a check in a report."""
    return getattr(check, "__name__", str(check))


def _check(check: Check) -> Check:
    CHECKS.append(check)
    return check


class Author:
    """Writes to one group the way a router does, and knows the state that it last saw."""

    def __init__(self, store: Store, name: str = "make") -> None:
        self.store = store
        self.group = group_id(OWNER, name)
        self.state = empty_group(self.group, 1, 1)
        self.now_ms, self._salts = 5, 0
        self._made_with = name

    async def make(self, *members: UserId, **body: Any) -> Head:
        """Make the group."""
        self.state = await self.store.state(self.group)
        content = {"name": "g", "members": members} | body
        return await self.ask(self.a_send(self._made_with, kind="group.created", body=content, join=0))

    async def say(self, *send_ids: str, sender: UserId = OWNER, size: int = 10) -> Head:
        """Append messages, as many at once as there is room for."""
        head = self.state.head
        sends = [self.a_send(send_id, sender=sender, body={"text": send_id.ljust(size, ".")}) for send_id in send_ids]
        while sends:
            room = self.state.head.room
            head = await self.ask(*sends[:room])
            sends = sends[room:]
        return head

    async def ask(self, *sends: Send) -> Head:
        """Have sends decided and written; the head after."""
        write = self.write(*sends)
        head = await self.store.append(write)
        self.state = msgspec.structs.replace(write.after, head=head)
        return head

    def write(self, *sends: Send) -> Write:
        """The conditional write that these sends would be."""
        batch = decide_batch(self.state, sends, {}, self._rules())
        assert batch.write is not None, batch.rulings
        return batch.write

    async def refresh(self) -> None:
        self.state = await self.store.state(self.group)

    def a_send(
        self, send_id: str, *, sender: UserId = OWNER, kind: str = "message", body: Any = None, join: int | None = None
    ) -> Send:
        membership = self.state.membership(sender)
        return Send(
            group=self.group,
            sender=sender,
            device="d",
            send_id=send_id,
            join=(membership.join if membership else 0) if join is None else join,
            after=None,
            kind=kind,
            body=msgspec.json.encode({} if body is None and kind == SKIP else body or {}),
        )

    async def log(self) -> list[Entry]:
        """The whole log, page by page."""
        entries: list[Entry] = []
        while page := await self.store.read(self.group, Span(len(entries) + 1, None), entries_max=7, bytes_max=BIG):
            entries.extend(page)
        return entries

    def _rules(self) -> Rules:
        def salt() -> bytes:
            self._salts += 1
            return self._salts.to_bytes(16, "big")

        return Rules(now_ms=self.now_ms, members_max=BIG, full=False, refusals_left=lambda _: BIG, salt=salt)


async def _made(harness: StoreHarness, *members: UserId, **body: Any) -> Author:
    author = Author(await harness.open())
    await author.make(*members, **body)
    return author


@_check
async def a_group_that_was_never_written_to_does_not_exist(harness: StoreHarness) -> None:
    store = await harness.open()
    group = group_id(OWNER, "nothing")
    assert await store.head(group) is None
    assert await store.heads([group]) == {}
    assert await store.last_times([group]) == {}
    assert await store.view(group, OWNER) is None
    assert await store.mark(group, 0) is None
    assert await store.outcomes(group, [(OWNER, "x")]) == {}
    assert await store.read(group, Span(1, None), entries_max=5, bytes_max=BIG) == []
    assert await store.read_back(group, Span(1, None), entries_max=5, bytes_max=BIG) == []
    assert await store.members(group, after="", rows_max=5) == []
    assert await store.groups_of(OWNER, after="", rows_max=5) == []
    state = await store.state(group)
    assert (state.head.seq, state.head.hash, state.memberships) == (0, genesis(group), {})
    assert state.head.room > 0


@_check
async def numbers_rise_by_one_and_the_chain_holds_across_every_bound(harness: StoreHarness) -> None:
    author = await _made(harness)
    for n in range(30):
        head = await author.say(*(f"{n}.{k}" for k in range(1 + n % 3)))
        assert head.room > 0
    log = await author.log()
    assert [entry.seq for entry in log] == list(range(1, len(log) + 1))
    assert first_break(genesis(author.group), 0, log) is None
    assert (await author.store.head(author.group)) == author.state.head
    assert author.state.head.seq == len(log)


@_check
async def what_was_answered_is_there_after_a_crash(harness: StoreHarness) -> None:
    author = await _made(harness, OTHER)
    await author.say(*(str(n) for n in range(20)))
    await author.ask(author.a_send("gone", kind=SKIP))
    before, epoch = await author.log(), await author.store.epoch()
    await harness.crash()
    author.store = await harness.open()
    assert await author.log() == before
    assert await author.store.epoch() == epoch
    state = await author.store.state(author.group)
    assert msgspec.structs.replace(state, memberships=dict(state.memberships)) == author.state
    found = await author.store.outcomes(author.group, [(OWNER, "7"), (OWNER, "gone"), (OWNER, "never")])
    assert found[(OWNER, "gone")] == Refused("skipped")
    assert isinstance(found[(OWNER, "7")], Appended)
    assert (OWNER, "never") not in found


@_check
async def an_append_happens_only_on_the_expected_state(harness: StoreHarness) -> None:
    author = await _made(harness)
    stale = author.write(author.a_send("late"))
    await author.say("first")
    before = await author.log()
    await _raises(Conflict, author.store.append(stale))
    assert await author.log() == before
    assert await author.store.outcomes(author.group, [(OWNER, "late")]) == {}


@_check
async def of_two_who_race_one_wins_and_the_other_changes_nothing(harness: StoreHarness) -> None:
    author = await _made(harness)
    for n in range(20):
        rival = Author(author.store)
        await rival.refresh()
        await author.refresh()
        answers = await asyncio.gather(author.say(f"a{n}"), rival.say(f"b{n}"), return_exceptions=True)
        lost = [answer for answer in answers if isinstance(answer, BaseException)]
        assert len(lost) == 1
        assert isinstance(lost[0], Conflict)
    log = await author.log()
    assert len(log) == 21
    assert first_break(genesis(author.group), 0, log) is None


@_check
async def two_owners_that_decide_differently_never_both_count(harness: StoreHarness) -> None:
    author = await _made(harness)
    rival = Author(author.store)
    await rival.refresh()
    appends, refuses = author.write(author.a_send("x", body={"text": "x"})), rival.write(rival.a_send("x", kind=SKIP))
    answers = await asyncio.gather(author.store.append(refuses), author.store.append(appends), return_exceptions=True)
    assert sum(isinstance(answer, Conflict) for answer in answers) == 1
    outcomes = await author.store.outcomes(author.group, [(OWNER, "x")])
    stored = any(entry.send_id == "x" for entry in await author.log())
    assert isinstance(outcomes[(OWNER, "x")], Appended) == stored


@_check
async def many_groups_are_written_at_once_and_a_conflict_in_one_hurts_no_other(harness: StoreHarness) -> None:
    store = await harness.open()
    authors = [Author(store, f"make{n}") for n in range(20)]
    await asyncio.gather(*(author.make() for author in authors))
    stale = [author.write(author.a_send("late", body={"text": "x"})) for author in authors[::2]]
    await asyncio.gather(*(author.say("first") for author in authors))
    answers = await asyncio.gather(
        *(store.append(write) for write in stale), *(author.say("a", "b") for author in authors), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [Conflict] * len(stale) + [Head] * len(authors)
    heads = await store.heads([author.group for author in authors])
    for author in authors:
        log = await author.log()
        assert [entry.send_id for entry in log][1:] == ["first", "a", "b"]
        assert heads[author.group] == author.state.head
        assert first_break(genesis(author.group), 0, log) is None


@_check
async def an_append_is_all_or_nothing(harness: StoreHarness) -> None:
    author = await _made(harness)
    await author.say("kept")
    await author.ask(author.a_send("refused", kind=SKIP))
    before = await author.store.state(author.group)
    for old in ("kept", "refused"):
        sends = [author.a_send(send_id, body={"text": "x"}) for send_id in ("new", old, "newer")]
        rival = author.a_send("other", kind=SKIP)
        await _raises(Conflict, author.store.append(author.write(*sends, rival)))
    twice = author.write(author.a_send("new", body={"text": "x"}))
    twice = msgspec.structs.replace(twice, refusals={(OWNER, "new"): "skipped"})
    await _raises(Conflict, author.store.append(twice))
    for _ in range(2):
        assert await author.store.state(author.group) == before
        assert [entry.send_id for entry in await author.log()] == ["make", "kept"]
        new = [(OWNER, send_id) for send_id in ("new", "newer", "other")]
        assert await author.store.outcomes(author.group, new) == {}
        await harness.crash()
        author.store = await harness.open()
    await author.say("new")


@_check
async def a_write_that_contradicts_itself_is_not_taken(harness: StoreHarness) -> None:
    author = await _made(harness)
    write = author.write(author.a_send("x", body={"text": "x"}))
    (entry,) = write.entries
    for wrong in (
        msgspec.structs.replace(write, entries=[entry, entry]),
        msgspec.structs.replace(write, entries=[]),
        msgspec.structs.replace(write, entries=[msgspec.structs.replace(entry, seq=3)]),
        msgspec.structs.replace(write, expected=msgspec.structs.replace(write.expected, room=0)),
    ):
        await _raises(ValueError, author.store.append(wrong))
    assert len(await author.log()) == 1
    await author.say("x")


@_check
async def an_outcome_belongs_to_group_sender_and_id_and_to_no_device(harness: StoreHarness) -> None:
    author = await _made(harness, OTHER)
    await author.say("x")
    elsewhere = author.a_send("x", body={"text": "x"})
    moved = msgspec.structs.replace(elsewhere, device="another")
    await _raises(Conflict, author.store.append(author.write(moved)))
    await author.say("x", sender=OTHER)
    rival = Author(author.store, "second")
    await rival.make()
    await rival.say("x")
    found = await author.store.outcomes(author.group, [(OWNER, "x"), (OTHER, "x"), ("user-3", "x")])
    assert {key: isinstance(outcome, Appended) and outcome.seq for key, outcome in found.items()} == {
        (OWNER, "x"): 2,
        (OTHER, "x"): 3,
    }


@_check
async def bodies_come_back_as_they_were_whatever_their_bytes(harness: StoreHarness) -> None:
    author = await _made(harness)
    for n, body in enumerate((b"", b"\0\xff" * 10, bytes(range(256)) * 400)):
        head = author.state.head
        entry = sealed(
            head.hash, group=author.group, epoch=head.epoch, seq=head.seq + 1, kind="one.of.tomorrow", sender=OWNER,
            device="", send_id=f"odd{n}", time_ms=2**40, messages=head.messages, body=body, salt=bytes(16),
        )  # fmt: skip
        write = Write(
            group=author.group, expected=head, entries=[entry], refusals={}, after=fold_all(author.state, [entry]),
            memberships=[],
        )  # fmt: skip
        author.state = msgspec.structs.replace(write.after, head=await author.store.append(write))
        assert (await author.log())[-1] == entry


@_check
async def refusals_alone_raise_writes_and_nothing_else(harness: StoreHarness) -> None:
    author = await _made(harness)
    before = author.state.head
    stale = author.write(author.a_send("late"))
    head = await author.ask(author.a_send("no", kind=SKIP))
    assert (head.writes, head.seq, head.hash) == (before.writes + 1, before.seq, before.hash)
    await _raises(Conflict, author.store.append(stale))


@_check
async def an_outcome_is_kept_and_never_given_twice(harness: StoreHarness) -> None:
    author = await _made(harness)
    await author.say("kept", *(str(n) for n in range(25)))
    await author.ask(author.a_send("refused", kind=SKIP))
    for restarted in (False, True):
        if restarted:
            await harness.crash()
            author.store = await harness.open()
        for send_id in ("kept", "refused"):
            again = author.write(author.a_send(send_id, body={"text": "again"}))
            await _raises(Conflict, author.store.append(again))
            skip = author.write(author.a_send(send_id, kind=SKIP))
            await _raises(Conflict, author.store.append(skip))
        outcomes = await author.store.outcomes(author.group, [(OWNER, "kept"), (OWNER, "refused")])
        kept = outcomes[(OWNER, "kept")]
        entry = (await author.log())[1]
        assert kept == Appended(2, "message", entry.digest, entry.salt)
        assert outcomes[(OWNER, "refused")] == Refused("skipped")


@_check
async def one_send_id_twice_at_once_is_one_entry(harness: StoreHarness) -> None:
    author = await _made(harness)
    write = author.write(author.a_send("x", body={"text": "x"}))
    answers = await asyncio.gather(*(author.store.append(write) for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(answer, Head) for answer in answers) == 1
    assert len(await author.log()) == 2


@_check
async def pages_end_at_their_bounds_and_hold_one_entry_at_least(harness: StoreHarness) -> None:
    author = await _made(harness)
    await author.say(*(str(n) for n in range(39)), size=100)
    group, store = author.group, author.store

    async def seqs(span: Span, entries_max: int = BIG, bytes_max: int = BIG, *, back: bool = False) -> list[int]:
        read = store.read_back if back else store.read
        return [entry.seq for entry in await read(group, span, entries_max=entries_max, bytes_max=bytes_max)]

    assert await seqs(Span(1, None)) == list(range(1, 41))
    assert await seqs(Span(1, None), 3) == [1, 2, 3]
    assert await seqs(Span(1, None), 3, back=True) == [38, 39, 40]
    assert await seqs(Span(5, 30), 4) == [5, 6, 7, 8]
    assert await seqs(Span(5, 30), 4, back=True) == [27, 28, 29, 30]
    assert await seqs(Span(2, None), BIG, 350) == [2, 3, 4]
    assert await seqs(Span(2, None), BIG, 1) == [2]
    assert await seqs(Span(1, None), BIG, 1, back=True) == [40]
    assert await seqs(Span(40, 40)) == [40]
    assert await seqs(Span(40, 10**15)) == [40]
    assert await seqs(Span(41, None)) == []
    assert await seqs(Span(41, None), back=True) == []
    assert await seqs(Span(9, 8)) == []


@_check
async def marks_are_what_the_log_holds_and_none_past_it(harness: StoreHarness) -> None:
    author = await _made(harness)
    await author.say(*(str(n) for n in range(20)))
    first = await author.store.mark(author.group, 0)
    assert first is not None
    assert (first.hash, first.messages) == (genesis(author.group), 0)
    for entry in await author.log():
        mark = await author.store.mark(author.group, entry.seq)
        assert mark is not None
        assert (mark.epoch, mark.hash, mark.messages) == (entry.epoch, entry.hash, entry.messages)
    for seq in (22, 10**15, -1):
        assert await author.store.mark(author.group, seq) is None


@_check
async def memberships_and_lists_follow_the_log(harness: StoreHarness) -> None:
    author = await _made(harness, OTHER, history="all", entry="open")
    await author.ask(author.a_send("r", kind="member.removed", body={"user": OTHER}))
    await author.ask(author.a_send("a", kind="member.added", body={"users": [OTHER, "user-3"]}))
    await author.ask(author.a_send("o", kind="member.role", body={"user": OTHER, "role": "admin"}))
    await author.ask(author.a_send("l", kind="member.left", sender="user-3"))
    await author.ask(author.a_send("n", kind="group.renamed", body={"name": "other"}))
    folded = fold_all(empty_group(author.group, author.state.head.epoch, 1), await author.log())
    for restarted in (False, True):
        if restarted:
            await harness.crash()
            author.store = await harness.open()
        state = await author.store.state(author.group)
        for field in ("name", "history_all", "open", "members_count", "owners_count"):
            assert getattr(state, field) == getattr(folded, field), field
        assert dict(state.memberships) == dict(folded.memberships)
        view = await author.store.view(author.group, OTHER)
        assert view is not None
        assert view.memberships == (Membership(1, 2, "member"), Membership(3, None, "admin"))
        assert (view.head, view.name, view.history_all, view.open, view.members_count) == (
            state.head, "other", True, True, 2,
        )  # fmt: skip
        members = await author.store.members(author.group, after="", rows_max=10)
        assert members == [(OWNER, Membership(1, None, "owner")), (OTHER, Membership(3, None, "admin"))]
        assert await author.store.groups_of(OTHER, after="", rows_max=10) == [author.group]
        assert await author.store.groups_of("user-3", after="", rows_max=10) == []


@_check
async def a_deleted_group_keeps_its_log_and_has_no_members(harness: StoreHarness) -> None:
    author = await _made(harness, OTHER, entry="open")
    await author.say("last words")
    await author.ask(author.a_send("d", kind="group.deleted"))
    for restarted in (False, True):
        if restarted:
            await harness.crash()
            author.store = await harness.open()
        state = await author.store.state(author.group)
        assert (state.members_count, state.owners_count, state.open) == (0, 0, False)
        assert dict(state.memberships) == {OWNER: (Membership(1, 3, "owner"),), OTHER: (Membership(1, 3, "member"),)}
        assert [entry.seq for entry in await author.log()] == [1, 2, 3]
        assert await author.store.members(author.group, after="", rows_max=10) == []
        for user in (OWNER, OTHER):
            assert await author.store.groups_of(user, after="", rows_max=10) == []


@_check
async def lists_come_in_pages_in_the_order_of_their_names(harness: StoreHarness) -> None:
    store = await harness.open()
    groups: list[GroupId] = []
    for n in range(9):
        author = Author(store, f"make{n}")
        await author.make(*(f"u{k:02}" for k in range(20)))
        groups.append(author.group)
    found: list[GroupId] = []
    while page := await store.groups_of("u05", after=found[-1] if found else "", rows_max=4):
        found.extend(page)
        assert len(page) <= 4
    assert found == sorted(groups)
    odd = Author(store, "odd")
    names = ["z", "é", "Ω", "\uffee", "😀", "Z", "z1"]
    await odd.make(*names)
    in_order = sorted([OWNER, *names])
    assert [user for user, _ in await store.members(odd.group, after="", rows_max=10)] == in_order
    assert [user for user, _ in await store.members(odd.group, after="Z", rows_max=10)] == in_order[1:]
    assert await store.members(odd.group, after="", rows_max=0) == []
    users: list[UserId] = []
    while rows := await store.members(groups[0], after=users[-1] if users else "", rows_max=6):
        users.extend(user for user, _ in rows)
    assert users == sorted([OWNER, *(f"u{k:02}" for k in range(20))])
    heads = await store.heads([*groups, "gnone"])
    assert set(heads) == set(groups)
    assert await store.last_times([odd.group, "gnone"]) == {odd.group: (await odd.log())[-1].time_ms}


@_check
async def read_pointers_never_go_back_and_follow_what_one_sends(harness: StoreHarness) -> None:
    author = await _made(harness, OTHER)
    await author.say("a", "b")

    async def read(user: UserId) -> int:
        view = await author.store.view(author.group, user)
        assert view is not None
        return view.read

    assert (await read(OWNER), await read(OTHER)) == (3, 0)
    for epoch, seq, expected in ((1, 2, 2), (1, 1, 2), (1, 3, 3), (2, 1, 1), (1, 3, 1)):
        await author.store.move_pointers([MovedPointer(author.group, OTHER, epoch, seq)])
        assert await read(OTHER) == expected
    await author.store.move_pointers([MovedPointer("gnone", OTHER, 1, 1)])
    await harness.crash()
    author.store = await harness.open()
    assert (await read(OWNER), await read(OTHER)) == (3, 1)


@_check
async def a_pointer_of_no_group_is_not_kept_for_it(harness: StoreHarness) -> None:
    store = await harness.open()
    author = Author(store)
    await store.move_pointers([MovedPointer(author.group, OTHER, 1, 5)])
    await author.make(OTHER)
    view = await store.view(author.group, OTHER)
    assert view is not None
    assert view.read == 0


@_check
async def a_crash_after_any_answer_takes_nothing(harness: StoreHarness) -> None:
    author = await _made(harness, OTHER)
    for n in range(8):
        head = await (author.say(f"{n}", sender=OTHER) if n % 3 else author.ask(author.a_send(f"{n}", kind=SKIP)))
        await author.store.move_pointers([MovedPointer(author.group, OWNER, 1, n + 1)])
        await harness.crash()
        author.store = await harness.open()
        view = await author.store.view(author.group, OWNER)
        assert view is not None
        assert view.head == head
        assert view.read == max(1, n + 1)
        assert (OTHER if n % 3 else OWNER, f"{n}") in await author.store.outcomes(
            author.group, [(OWNER, f"{n}"), (OTHER, f"{n}")]
        )


@_check
async def what_is_shown_is_of_one_moment_and_never_of_an_older_one(harness: StoreHarness) -> None:
    author = await _made(harness)
    done = False

    async def change() -> None:
        nonlocal done
        for n in range(12):
            await author.ask(author.a_send(f"a{n}", kind="member.added", body={"users": [OTHER]}))
            await asyncio.sleep(0)  # A store that never waits would let nobody look in between.
            await author.ask(author.a_send(f"r{n}", kind="member.removed", body={"user": OTHER}))
            await asyncio.sleep(0)
        done = True

    async def look() -> None:
        last = 0
        while not done:
            await asyncio.sleep(0)
            state = await author.store.state(author.group)
            lasting = [user for user in state.memberships if state.membership(user) is not None]
            assert len(lasting) == state.members_count == 1 + (state.head.seq + 1) % 2
            view = await author.store.view(author.group, OTHER)
            assert view is not None
            assert view.head.seq >= state.head.seq >= last
            assert len(view.memberships) == view.head.seq // 2
            assert view.members_count == 1 + (view.head.seq + 1) % 2
            head = await author.store.head(author.group)
            assert head is not None
            mark = await author.store.mark(author.group, head.seq)
            assert mark is not None
            assert (mark.hash, mark.messages) == (head.hash, head.messages)
            assert head.seq >= view.head.seq
            last = head.seq

    await asyncio.gather(change(), look(), look())


@_check
async def a_read_begun_after_an_answer_sees_it(harness: StoreHarness) -> None:
    author = await _made(harness)
    for n in range(20):
        head = await author.say(str(n))
        state, view, shown = await asyncio.gather(
            author.store.state(author.group),
            author.store.view(author.group, OWNER),
            author.store.head(author.group),
        )
        assert view is not None
        assert state.head == view.head == shown == head
        assert isinstance(state, GroupState)


@_check
async def a_closed_store_says_so(harness: StoreHarness) -> None:
    author = await _made(harness)
    write = author.write(author.a_send("x", body={"text": "x"}))
    await author.store.close()
    await author.store.close()
    await _raises(StoreAway, author.store.append(write))
    for read in (
        author.store.epoch(),
        author.store.state(author.group),
        author.store.head(author.group),
        author.store.heads([author.group]),
        author.store.view(author.group, OWNER),
        author.store.outcomes(author.group, []),
        author.store.mark(author.group, 1),
        author.store.read(author.group, Span(1, None), entries_max=1, bytes_max=1),
        author.store.read_back(author.group, Span(1, None), entries_max=1, bytes_max=1),
        author.store.groups_of(OWNER, after="", rows_max=1),
        author.store.members(author.group, after="", rows_max=1),
    ):
        await _raises(StoreAway, read)
    await _raises(StoreAway, author.store.move_pointers([MovedPointer(author.group, OWNER, 1, 1)]))


async def _raises(kind: type[BaseException], waited: Awaitable[object]) -> None:
    try:
        await waited
    except kind:
        return
    raise AssertionError(f"no {kind.__name__}")
