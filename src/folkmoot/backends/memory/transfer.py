"""What a copy asks of a memory store: its part in the copy, kept on the disk, and rows that no other port shows."""

from typing import TypeVar

from folkmoot.backends.memory.disk import Disk
from folkmoot.model.entry import MESSAGE
from folkmoot.model.ids import GroupId, UserId
from folkmoot.ports.store import MovedPointer, StoreFull, Write
from folkmoot.ports.transfer import Custody, Page, Refusal, StoreOccupied

T = TypeVar("T")


class MemoryTransfer:
    """`ports.transfer.Transfer` in the plainest way: everything is read from the records of the disk."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    async def custody(self) -> Custody:
        return self._disk.custody

    async def begin(self, custody: Custody) -> Custody:
        if self._disk.custody.part == "none":
            self._note(custody)
        return self._disk.custody

    async def claim(self, custody: Custody, epoch: int) -> None:
        there = self._disk.custody
        again = (there.part, there.copy) == ("target", custody.copy)
        if not again and (there.part != "none" or self._disk.records or self._disk.accounts):
            raise StoreOccupied("it has data already, or a part in another copy")
        self._note(custody)
        self._disk.epoch = epoch

    async def seal(self, custody: Custody) -> None:
        self._note(custody)

    async def release(self) -> None:
        self._note(Custody())

    async def groups(self, *, after: str, rows_max: int) -> Page[GroupId]:
        return _page(sorted({write.group for write in self._writes()}), after, rows_max)

    async def refusals(self, *, after: str, rows_max: int) -> Page[Refusal]:
        found = [Refusal(write.group, *row) for write in self._writes() for row in write.refusals.items()]
        return _page(sorted(found), after, rows_max)

    async def pointers(self, *, after: str, rows_max: int) -> Page[MovedPointer]:
        last: dict[tuple[GroupId, UserId], tuple[int, int]] = {}
        known = set[GroupId]()
        for record in self._disk.records:
            # Of a group that was not there none was kept, and a message moves its sender's.
            if isinstance(record, Write):
                known.add(record.group)
                moved = [(e.sender, e.epoch, e.seq) for e in record.entries if e.kind == MESSAGE]
            else:
                moved = [(record.user, record.epoch, record.seq)] if record.group in known else []
            for user, epoch, seq in moved:
                last[record.group, user] = max(last.get((record.group, user), (0, 0)), (epoch, seq))
        return _page([MovedPointer(*key, *at) for key, at in sorted(last.items())], after, rows_max)

    def _writes(self) -> list[Write]:
        return [record for record in self._disk.records if isinstance(record, Write)]

    def _note(self, custody: Custody) -> None:
        if self._disk.full:
            raise StoreFull
        self._disk.custody = custody


def _page(rows: list[T], after: str, rows_max: int) -> Page[T]:
    start = int(after or 0)
    end = start + rows_max
    return Page(rows[start:end], str(end) if end < len(rows) else "")
