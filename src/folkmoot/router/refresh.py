"""Bringing a group's state up to the store's head by folding only what is new."""

import msgspec

from folkmoot.model.entry import follows
from folkmoot.model.fold import FoldError, fold_all
from folkmoot.model.group import GroupState
from folkmoot.model.membership import Span
from folkmoot.ports.store import Store

PAGES_MAX = 10
PAGE_ENTRIES = 500
PAGE_BYTES = 1_048_576


async def refreshed(store: Store, state: GroupState) -> GroupState:
    """The state at the store's head. Loads it whole where folding would take longer, or does not fit what is held."""
    head = await store.head(state.group)
    if head is None or head.seq < state.head.seq or head.seq - state.head.seq > PAGES_MAX * PAGE_ENTRIES:
        return await store.state(state.group)
    folded = state
    try:
        while folded.head.seq < head.seq:
            span = Span(folded.head.seq + 1, head.seq)
            page = await store.read(state.group, span, entries_max=PAGE_ENTRIES, bytes_max=PAGE_BYTES)
            if not page or not follows(folded.head.hash, page[0]):
                # What is held is of a log that the store, set back since, does not have.
                return await store.state(state.group)
            folded = fold_all(folded, page)
    except FoldError:
        return await store.state(state.group)
    if folded.head.hash != head.hash:
        return await store.state(state.group)
    return msgspec.structs.replace(folded, head=head)
