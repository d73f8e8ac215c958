"""Logs as a store's file has them, read from their first entries and checked against all that is said of them."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import apsw
import msgspec

from folkmoot.backends.sqlite.inspect import Inspection, open_inspection
from folkmoot.checker.audit import Damage, LogAudit

PAGE_ENTRIES: Final = 1_000
DAMAGES_MAX: Final = 1_000
"""Kept of a whole store; those beyond are counted."""

OnProgress = Callable[[int, int], None]
"""Gets how many entries have been read, and of how many."""


class LogsReport(msgspec.Struct, frozen=True):
    """How much was read, and the first break of each group that has one."""

    groups: int
    entries: int
    broken: list[Damage]


class StoreReport(msgspec.Struct, frozen=True, kw_only=True):
    """How much was read, and every damage: those of the file first. `more`: so many beyond those that were kept."""

    epoch: int
    groups: int
    entries: int
    damages: list[Damage]
    more: int


class Unreadable(Exception):
    """The file is no store, or so damaged that SQLite cannot read it; the text says why."""


async def verify_store(path: Path, groups: Sequence[str], on_progress: OnProgress) -> LogsReport:
    """Verify the named groups of the store in `path`, all where none is named. Nothing is written; it may be in use.

    Raises Unreadable.
    """
    broken: list[Damage] = []
    entries = 0
    try:
        with open_inspection(path) as store:
            heads, epoch = store.heads(), store.epoch()
            names = list(groups) or list(heads)
            total = sum(heads.get(group, 0) for group in names)
            for group in names:
                audit = LogAudit(group, damages_max=1)

                def on_read(read: int, before: int = entries) -> None:
                    on_progress(before + read, total)

                await asyncio.to_thread(_verify, store, audit, epoch, on_read)
                entries += audit.seq
                broken.extend(audit.damages)
    except apsw.Error as error:
        raise Unreadable(str(error)) from error
    return LogsReport(len(names), entries, broken)


def examine_store(path: Path, on_progress: OnProgress) -> StoreReport:
    """Check the file in `path` and every log in it, to the end, whatever is found. Nothing is written.

    It may be in use. All of it is of one moment: while it is read, the log file of a server that writes grows and is
    not begun anew. Raises Unreadable where nothing at all can be read.
    """
    damages: list[Damage] = []
    more = 0
    try:
        with open_inspection(path) as store:
            damages += [Damage("", 0, fault) for fault in store.faults()]
            heads, epoch = store.heads(), store.epoch()
            if epoch < 1:
                damages.append(Damage("", 0, "the store says no epoch"))
            damages += [Damage("", 0, what) for what in _lost(store)]
            total, entries = sum(heads.values()), 0
            for group in heads:
                audit = LogAudit(group)
                for read in _audited(store, audit, epoch, to_the_end=True):
                    on_progress(entries + read, total)
                entries += audit.seq
                room = DAMAGES_MAX - len(damages)
                damages += audit.damages[:room]
                more += audit.more + len(audit.damages[room:])
    except apsw.Error as error:
        raise Unreadable(str(error)) from error
    return StoreReport(epoch=epoch, groups=len(heads), entries=entries, damages=damages, more=more)


def _verify(store: Inspection, audit: LogAudit, epoch: int, on_read: Callable[[int], None]) -> None:
    for read in _audited(store, audit, epoch):
        on_read(read)


def _audited(store: Inspection, audit: LogAudit, epoch: int, *, to_the_end: bool = False) -> Iterator[int]:
    """Give `audit` the whole log of its group, and what stands beside it; yields how far it has come.

    Not `to_the_end`: only up to the first damage, and what cannot be read raises apsw.Error.
    """
    size = PAGE_ENTRIES
    while to_the_end or not audit.full:
        try:
            page = store.entries(audit.group, audit.seq, size)
        except apsw.CorruptError as error:
            if not to_the_end:
                raise
            if size > 1:
                size = size // 10  # Closer to where it is.
                continue
            audit.unreadable(str(error))
            return
        audit.take(page)
        if not page:
            break
        yield audit.seq
    if to_the_end or not audit.full:
        _held(store, audit, epoch, to_the_end=to_the_end)


def _held(store: Inspection, audit: LogAudit, epoch: int, *, to_the_end: bool) -> None:
    """Hold what stands beside the log that was read against it."""
    try:
        held = store.state(audit.group)
        audit.end(held, epoch, store.strays(audit.group, held.head.seq))
    except KeyError:
        audit.is_not_there()
    except apsw.CorruptError as error:
        if not to_the_end:
            raise
        audit.unreadable(f"what is made of the log: {error}")


def _lost(store: Inspection) -> list[str]:
    try:
        return [f"{count} {what}: {example}" for what, count, example in store.lost()]
    except apsw.CorruptError as error:
        return [f"whether rows belong to no group cannot be read: {error}"]
