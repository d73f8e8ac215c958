"""Whether a group's counts are what its log says: a cheap look at one group now and then, while all is in use."""

import logging
from collections.abc import Sequence
from typing import Final

from folkmoot.model.entry import MESSAGE, Entry, follows
from folkmoot.model.fold import fold_all
from folkmoot.model.group import GroupState, empty_group
from folkmoot.model.ids import GroupId
from folkmoot.model.membership import OWNER, Span, current
from folkmoot.ports.clock import Chance
from folkmoot.ports.store import Mark, Store, StoreAway

ENTRIES_MAX: Final = 1_000
"""Of one look, at the end of the log. A shorter log is folded whole, and all that is projected from it compared."""

MEMBERS_MAX: Final = 5_000
"""Of a group that is looked at: the state of a larger one takes too long to read. `folkmoot verify` reads all."""

PAGE_BYTES: Final = 1_048_576

_log = logging.getLogger(__name__)


class Audit:
    """Counts looks, and those that found something; what it was goes to the log."""

    def __init__(self, store: Store, chance: Chance) -> None:
        self._store = store
        self._chance = chance
        self.audited = 0
        self.drift = 0

    async def look(self, states: Sequence[GroupState]) -> None:
        """Compare one of these groups, drawn, with its log. Never raises."""
        groups = [state.group for state in states if state.head.seq and state.members_count <= MEMBERS_MAX]
        if not groups:
            return
        group = groups[int(self._chance.draw() * len(groups))]
        try:
            what = await drift_of(self._store, group)
        except StoreAway:
            return
        except Exception:
            _log.exception("a group could not be compared with its log", extra={"group": group})
            return
        self.audited += 1
        if what:
            self.drift += 1
            _log.error("a group's counts are not what its log says", extra={"group": group, "detail": what})


async def drift_of(store: Store, group: GroupId) -> str:
    """What the store says of the group that its log does not, "" where they agree. Raises StoreAway."""
    state = await store.state(group)
    if not state.head.seq:
        return ""  # The store, set back under a router that lives on, has no such group.
    # The log up to that head never changes, so what is read after it is of the same moment.
    first = max(1, state.head.seq - ENTRIES_MAX + 1)
    before = await store.mark(group, first - 1)
    if before is None:
        return f"there is no entry {first - 1}, and the head is past it"
    entries = await _entries(store, group, Span(first, state.head.seq))
    return _counts(before, first, entries, state) or _members(state) or (_folded(entries, state) if first == 1 else "")


async def _entries(store: Store, group: GroupId, span: Span) -> list[Entry]:
    entries: list[Entry] = []
    first, last = span.first, span.last or 0
    while first <= last:
        page = await store.read(group, Span(first, last), entries_max=ENTRIES_MAX, bytes_max=PAGE_BYTES)
        if not page:
            break
        entries += page
        first = page[-1].seq + 1
    return entries


def _counts(before: Mark, first: int, entries: Sequence[Entry], state: GroupState) -> str:
    """Chain and running count of messages, from the mark before the entries to the head."""
    at, messages = before.hash, before.messages
    for seq, entry in enumerate(entries, first):
        messages += entry.kind == MESSAGE
        if entry.seq != seq or not follows(at, entry):
            return f"entry {seq} is not there, or does not follow the one before"
        if entry.messages != messages:
            return f"entry {seq} counts {entry.messages} messages, there are {messages}"
        at = entry.hash
    head = state.head
    return "" if (head.hash, head.messages) == (at, messages) else "the head is not the log's end"


def _members(state: GroupState) -> str:
    """The counts of members and owners, against the rows they count."""
    lasting = [stay for stays in state.memberships.values() if (stay := current(stays)) is not None]
    owners = sum(stay.role == OWNER for stay in lasting)
    if (state.members_count, state.owners_count) == (len(lasting), owners):
        return ""
    return f"it counts {state.members_count} members, {state.owners_count} owners; there are {len(lasting)}, {owners}"


def _folded(entries: Sequence[Entry], state: GroupState) -> str:
    """Everything projected, against the fold of the whole log, where all of it can still be read."""
    if any(entry.body is None for entry in entries):
        return ""
    folded = fold_all(empty_group(state.group, state.head.epoch, 1), entries)
    for name in ("name", "history_all", "open", "members_count", "owners_count", "memberships"):
        if getattr(folded, name) != getattr(state, name):
            return f"the group's {name} is not what its log says"
    return ""
