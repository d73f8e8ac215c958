"""The store suite itself: a store that breaks any one promise does not pass it."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import pytest

from folkmoot.backends.memory.disk import Disk
from folkmoot.backends.memory.store import MemoryStore
from folkmoot.model.entry import Entry
from folkmoot.model.group import GroupState, Head
from folkmoot.model.ids import GroupId, UserId
from folkmoot.model.membership import Membership, Span
from folkmoot.model.send import Appended, Outcome, Refused, SendKey
from folkmoot.ports.store import Conflict, GroupView, Mark, MovedPointer, Store, Write
from folkmoot.testing.store_suite import BIG, CHECKS, Check, name_of


class AnswersBeforeItIsOnTheDisk(MemoryStore):
    async def append(self, write: Write) -> Head:
        head = await super().append(write)
        self._disk.records.pop()
        return head


class KeepsAWriteThatItRefused(MemoryStore):
    async def append(self, write: Write) -> Head:
        try:
            return await super().append(write)
        except Conflict:
            held = self._groups.get(write.group)
            if held is not None:
                for key, code in write.refusals.items():
                    held.outcomes.setdefault(key, Refused(code))
            raise


class ShowsGroupsThatAreNot(MemoryStore):
    async def head(self, group: GroupId) -> Head | None:
        return (await self.state(group)).head


class AnswersAConflictAsDone(MemoryStore):
    async def append(self, write: Write) -> Head:
        try:
            return await super().append(write)
        except Conflict:
            return (await self.state(write.group)).head


class TakesAnyExpectation(MemoryStore):
    async def append(self, write: Write) -> Head:
        head = (await self.state(write.group)).head
        expected = msgspec.structs.replace(write.expected, epoch=head.epoch, writes=head.writes)
        return await super().append(msgspec.structs.replace(write, expected=expected))


class CountsNoRefusals(MemoryStore):
    async def append(self, write: Write) -> Head:
        head = await super().append(write)
        if write.entries:
            return head
        held = self._groups[write.group]
        held.state = msgspec.structs.replace(held.state, head=write.expected)
        return write.expected


class DecidesAgain(MemoryStore):
    async def append(self, write: Write) -> Head:
        if (held := self._groups.get(write.group)) is not None:
            for key in [(e.sender, e.send_id) for e in write.entries] + list(write.refusals):
                held.outcomes.pop(key, None)
        return await super().append(write)


class ForgetsRefusalsAtARestart(MemoryStore):
    async def append(self, write: Write) -> Head:
        head = await super().append(write)
        self._disk.records[-1] = msgspec.structs.replace(write, refusals={})
        return head


class TellsOutcomesByDevice(MemoryStore):
    async def append(self, write: Write) -> Head:
        entries = [msgspec.structs.replace(e, send_id=e.device + e.send_id) for e in write.entries]
        return await super().append(msgspec.structs.replace(write, entries=entries))


class TellsOutcomesWithoutDigest(MemoryStore):
    async def outcomes(self, group: GroupId, keys: Iterable[SendKey]) -> dict[SendKey, Outcome]:
        found = await super().outcomes(group, keys)
        return {k: Appended(o.seq, o.kind, b"", None) if isinstance(o, Appended) else o for k, o in found.items()}


class LetsPointersGoBack(MemoryStore):
    def _raise_pointer(self, pointer: MovedPointer) -> None:
        self._pointers[(pointer.group, pointer.user)] = (pointer.epoch, pointer.seq)


class ForgetsWhoSent(MemoryStore):
    def _apply(self, write: Write) -> Head:
        before = dict(self._pointers)
        head = super()._apply(write)
        self._pointers = before
        return head


class KeepsPointersOfNothing(MemoryStore):
    def _raise_pointer(self, pointer: MovedPointer) -> None:
        key = (pointer.group, pointer.user)
        self._pointers[key] = max(self._pointers.get(key, (0, 0)), (pointer.epoch, pointer.seq))


class ShowsNothingOfAnEntryTooLarge(MemoryStore):
    async def read(self, group: GroupId, span: Span, *, entries_max: int, bytes_max: int) -> list[Entry]:
        page = await super().read(group, span, entries_max=entries_max, bytes_max=bytes_max)
        return page if sum(len(e.body or b"") for e in page) <= bytes_max else []


class ReadsPastItsBytes(MemoryStore):
    async def read(self, group: GroupId, span: Span, *, entries_max: int, bytes_max: int) -> list[Entry]:
        return await super().read(group, span, entries_max=entries_max, bytes_max=BIG)


class ReadsBackFromTheFront(MemoryStore):
    async def read_back(self, group: GroupId, span: Span, *, entries_max: int, bytes_max: int) -> list[Entry]:
        return await super().read(group, span, entries_max=entries_max, bytes_max=bytes_max)


class LeavesAGap(MemoryStore):
    async def read(self, group: GroupId, span: Span, *, entries_max: int, bytes_max: int) -> list[Entry]:
        page = await super().read(group, span, entries_max=entries_max, bytes_max=bytes_max)
        return page if len(page) < 3 else [page[0], *page[2:]]


class MarksWhatIsNotThere(MemoryStore):
    async def mark(self, group: GroupId, seq: int) -> Mark | None:
        return await super().mark(group, min(seq, len(self._groups[group].entries) if group in self._groups else 0))


class ShowsAnOldState(MemoryStore):
    shown: GroupState | None = None

    async def state(self, group: GroupId) -> GroupState:
        state = await super().state(group)
        if self.shown is None or self.shown.group != group or state.head.seq % 4:
            self.shown = state
        return self.shown


class ShowsTwoMomentsAtOnce(MemoryStore):
    async def view(self, group: GroupId, user: UserId) -> GroupView | None:
        before = await super().view(group, user)
        await asyncio.sleep(0)
        after = await super().view(group, user)
        return after and before and msgspec.structs.replace(before, head=after.head)


class ShowsOnlyTheLastMembership(MemoryStore):
    async def view(self, group: GroupId, user: UserId) -> GroupView | None:
        view = await super().view(group, user)
        return view and msgspec.structs.replace(view, memberships=view.memberships[-1:])


class ListsWhoHasLeft(MemoryStore):
    async def members(self, group: GroupId, *, after: UserId, rows_max: int) -> list[tuple[UserId, Membership]]:
        stays = (await self.state(group)).memberships
        return [(user, stays[user][-1]) for user in sorted(stays) if user > after][:rows_max]


class ListsGroupsOneHasLeft(MemoryStore):
    def _list_group(self, user: UserId, group: GroupId, *, listed: bool) -> None:
        super()._list_group(user, group, listed=True)


class ListsInTheOrderOfLetters(MemoryStore):
    async def members(self, group: GroupId, *, after: UserId, rows_max: int) -> list[tuple[UserId, Membership]]:
        rows = await super().members(group, after=after, rows_max=rows_max)
        return sorted(rows, key=lambda row: row[0].lower())


class ListsMoreThanAskedFor(MemoryStore):
    async def groups_of(self, user: UserId, *, after: GroupId, rows_max: int) -> list[GroupId]:
        return await super().groups_of(user, after=after, rows_max=rows_max + 1)


class ShowsAFullBucket(MemoryStore):
    def _apply(self, write: Write) -> Head:
        head = super()._apply(write)
        if head.room == self._bucket_size:
            head = msgspec.structs.replace(head, room=0)
            held = self._groups[write.group]
            held.state = msgspec.structs.replace(held.state, head=head)
        return head


class BeginsALifeAtEachStart(MemoryStore):
    def __init__(self, disk: Disk, **options: Any) -> None:
        disk.epoch += 1
        super().__init__(disk, **options)


class AnswersOnceClosed(MemoryStore):
    async def close(self) -> None:
        pass


class TakesWhatContradictsItself(MemoryStore):
    async def append(self, write: Write) -> Head:
        first = write.expected.seq + 1
        entries = [msgspec.structs.replace(e, seq=first + n) for n, e in enumerate(write.entries)]
        last = write.expected.seq + len(entries)
        after = msgspec.structs.replace(write.after, head=msgspec.structs.replace(write.after.head, seq=last))
        return await super().append(msgspec.structs.replace(write, entries=entries, after=after))


class CannotDoTwoThingsAtOnce(MemoryStore):
    writing = False

    async def append(self, write: Write) -> Head:
        if self.writing:
            raise Conflict("busy")
        self.writing = True
        await asyncio.sleep(0)
        self.writing = False
        return await super().append(write)


class CutsBodies(MemoryStore):
    async def read(self, group: GroupId, span: Span, *, entries_max: int, bytes_max: int) -> list[Entry]:
        page = await super().read(group, span, entries_max=entries_max, bytes_max=bytes_max)
        return [msgspec.structs.replace(e, body=(e.body or b"").rstrip(b"\0\xff") or None) for e in page]


class LosesPointers(MemoryStore):
    async def move_pointers(self, pointers: Sequence[MovedPointer]) -> None:
        await super().move_pointers(pointers)
        del self._disk.records[len(self._disk.records) - len(pointers) :]


FAULTY: list[type[MemoryStore]] = sorted(
    (kind for kind in MemoryStore.__subclasses__() if kind.__module__ == __name__), key=lambda kind: kind.__name__
)
"""Those of this module: other tests have subclasses of their own, which break nothing."""


class Harness:
    def __init__(self, kind: type[MemoryStore]) -> None:
        self._kind = kind
        self._disk = Disk()

    async def open(self) -> Store:
        return self._kind(self._disk, bucket_size=8)

    async def crash(self) -> None:
        """The disk stays."""


def breaks(kind: type[MemoryStore], check: Check) -> bool:
    try:
        asyncio.run(asyncio.wait_for(check(Harness(kind)), 10))
    except Exception:
        return True
    return False


@pytest.mark.parametrize("kind", FAULTY, ids=lambda kind: kind.__name__)
def test_a_store_that_breaks_a_promise_is_found_out(kind: type[MemoryStore]) -> None:
    assert any(breaks(kind, check) for check in CHECKS)


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
def test_each_check_passes_for_a_store_that_keeps_them_and_fails_for_some_that_does_not(check: Check) -> None:
    assert not breaks(MemoryStore, check)
    found = [kind.__name__ for kind in FAULTY if breaks(kind, check)]
    assert found
