"""Logs as a store's file has them, read from their first entries and checked against all that is said of them."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import apsw
import msgspec

from folkmoot.backends.sqlite.inspect import Inspection, open_inspection
from folkmoot.model.entry import MESSAGE, Entry, first_break
from folkmoot.model.fold import fold_all
from folkmoot.model.group import GroupState, empty_group

PAGE_ENTRIES: Final = 1_000
_PROJECTED: Final = ("name", "history_all", "open", "members_count", "owners_count", "memberships")


class Broken(msgspec.Struct, frozen=True):
    """The first place, in the order of its numbers, where a group's log contradicts itself or what is made of it."""

    group: str
    seq: int
    what: str


class LogsReport(msgspec.Struct, frozen=True):
    """How much was read, and the first break of each group that has one."""

    groups: int
    entries: int
    broken: list[Broken]


class Unreadable(Exception):
    """The file is no store, or so damaged that SQLite cannot read it; the text says why."""


async def verify_store(path: Path, groups: Sequence[str], on_progress: Callable[[int, int], None]) -> LogsReport:
    """Verify the named groups of the store in `path`, all where none is named. Nothing is written; it may be in use.

    `on_progress` gets how many entries have been read, and of how many. Raises Unreadable.
    """
    broken: list[Broken] = []
    entries = 0
    try:
        with open_inspection(path) as store:
            heads = store.heads()
            names = list(groups) or list(heads)
            total = sum(heads.get(group, 0) for group in names)
            for group in names:
                reading = _Reading(store, group, entries, lambda read: on_progress(read, total))
                found = await asyncio.to_thread(reading.first_break)
                entries = reading.read
                if found is not None:
                    broken.append(found)
    except apsw.Error as error:
        raise Unreadable(str(error)) from error
    return LogsReport(len(names), entries, broken)


class _Reading:
    """One group's log, read from 1. `read` counts entries, on top of those of other groups."""

    def __init__(self, store: Inspection, group: str, read: int, on_read: Callable[[int], None]) -> None:
        self.read = read
        self._store = store
        self._group = group
        self._on_read = on_read

    def first_break(self) -> Broken | None:
        try:
            held = self._store.state(self._group)
        except KeyError:
            return Broken(self._group, 0, "there is no such group")
        state = empty_group(self._group, held.head.epoch, 1)
        while state.head.seq < held.head.seq:
            page = self._store.entries(self._group, state.head.seq, PAGE_ENTRIES)
            broken = self._break_in(page, state)
            if broken is not None:
                return broken
            state = fold_all(state, page)
            self.read += len(page)
            self._on_read(self.read)
        return self._break_beside(state, held)

    def _break_in(self, page: list[Entry], state: GroupState) -> Broken | None:
        expected, messages = state.head.seq + 1, state.head.messages
        broken_at = first_break(state.head.hash, state.head.seq, page)
        for entry in page:
            if entry.seq != expected:
                break
            if entry.seq == broken_at:
                return self._broken(entry.seq, "the hash does not chain on the entry before, or not on its own body")
            messages += entry.kind == MESSAGE
            if entry.messages != messages:
                return self._broken(entry.seq, f"counts {entry.messages} messages, there are {messages}")
            if self._store.outcome(self._group, entry.sender, entry.send_id) != entry.seq:
                return self._broken(entry.seq, "the outcome of its send is not this entry")
            expected += 1
        else:
            if page:
                return None
        return self._broken(expected, "there is no such entry, and the head is past it")

    def _break_beside(self, state: GroupState, held: GroupState) -> Broken | None:
        head = held.head
        if (state.head.seq, state.head.hash, state.head.messages) != (head.seq, head.hash, head.messages):
            return self._broken(head.seq, "the head is not the log's end")
        for name in _PROJECTED:
            if getattr(state, name) != getattr(held, name):
                return self._broken(head.seq, f"the group's {name} is not what its log says")
        strays = self._store.strays(self._group, head.seq)
        return self._broken(head.seq, ", ".join(f"{n} {what}" for what, n in strays.items())) if strays else None

    def _broken(self, seq: int, what: str) -> Broken:
        return Broken(self._group, seq, what)
