"""Reading a store's logs from their first entries, and checking all that they say of themselves."""

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from folkmoot.backends.sqlite.inspect import Inspection, open_inspection
from folkmoot.model.entry import MESSAGE, first_break
from folkmoot.model.fold import fold_all
from folkmoot.model.group import empty_group

PAGE_ENTRIES = 1_000


class Broken(msgspec.Struct, frozen=True):
    """Where a log contradicts itself, or what was made of it."""

    group: str
    seq: int
    what: str


class LogsReport(msgspec.Struct, frozen=True):
    """How much was read, and what was found."""

    groups: int
    entries: int
    broken: list[Broken]


async def verify_store(path: Path, groups: Sequence[str], on_progress: Callable[[int, int], None]) -> LogsReport:
    """Verify the named groups of the store in `path`, all where none is named. Nothing is written; it may be in use."""
    broken: list[Broken] = []
    entries = 0
    with open_inspection(path) as store:
        names = list(groups) or store.groups()
        for done, group in enumerate(names):
            count, found = _verify_group(store, group)
            entries += count
            broken.extend(found)
            on_progress(done + 1, len(names))
    return LogsReport(len(names), entries, broken)


def _verify_group(store: Inspection, group: str) -> tuple[int, list[Broken]]:
    try:
        held = store.state(group)
    except KeyError:
        return 0, [Broken(group, 0, "there is no such group")]
    state = empty_group(group, held.head.epoch, 1)
    broken: list[Broken] = []
    while state.head.seq < held.head.seq:
        page = store.entries(group, state.head.seq, PAGE_ENTRIES)
        at = first_break(state.head.hash, state.head.seq, page)
        if at is not None or not page:
            return state.head.seq, [Broken(group, at or state.head.seq + 1, "the chain breaks")]
        messages = state.head.messages
        for entry in page:
            messages += entry.kind == MESSAGE
            if entry.messages != messages:
                return entry.seq, [Broken(group, entry.seq, f"counts {entry.messages} messages, there are {messages}")]
            if store.outcome(group, entry.sender, entry.send_id) != entry.seq:
                broken.append(Broken(group, entry.seq, "the outcome of its send is not this entry"))
        state = fold_all(state, page)
    if state.head.hash != held.head.hash or state.head.messages != held.head.messages:
        broken.append(Broken(group, held.head.seq, "the head is not the log's end"))
    for name in ("name", "history_all", "open", "members_count", "owners_count", "memberships"):
        if getattr(state, name) != getattr(held, name):
            broken.append(Broken(group, held.head.seq, f"the projection's {name} is not what the log says"))
    return held.head.seq, broken
