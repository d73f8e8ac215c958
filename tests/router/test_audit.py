"""The audit: a group that is whole drifts nowhere; one count, row or entry that is off is found and said."""

import asyncio
from collections.abc import Callable

import msgspec
import pytest

from folkmoot.backends.memory.disk import Disk
from folkmoot.backends.memory.store import MemoryStore
from folkmoot.model.entry import Entry
from folkmoot.model.group import GroupState
from folkmoot.model.ids import GroupId
from folkmoot.ports.clock import SystemChance
from folkmoot.router import audit
from folkmoot.router.audit import Audit, drift_of
from folkmoot.testing.store_suite import Author


def planted(**changes: object) -> Callable[[GroupState], GroupState]:
    return lambda state: msgspec.structs.replace(state, **changes)


def head_off(state: GroupState) -> GroupState:
    return msgspec.structs.replace(state, head=msgspec.structs.replace(state.head, messages=state.head.messages + 1))


def damaged_entry(at: int, **changes: object) -> Callable[[list[Entry]], None]:
    def damage(entries: list[Entry]) -> None:
        entries[at] = msgspec.structs.replace(entries[at], **changes)

    return damage


async def a_group(store: MemoryStore) -> GroupId:
    author = Author(store)
    await author.make()
    await author.say("a", "b", "c")
    return author.group


def found(
    state: Callable[[GroupState], GroupState] | None = None, entries: Callable[[list[Entry]], None] | None = None
) -> str:
    """What an audit says of a group in which something was changed behind the store's back."""

    async def run() -> str:
        store = MemoryStore(Disk(), bucket_size=8)
        group = await a_group(store)
        held = store._groups[group]
        if state is not None:
            held.state = state(held.state)
        if entries is not None:
            entries(held.entries)
        return await drift_of(store, group)

    return asyncio.run(run())


def test_a_group_that_is_whole_drifts_nowhere() -> None:
    assert found() == ""


@pytest.mark.parametrize(
    ("state", "what"),
    [
        (head_off, "the head is not the log's end"),
        (planted(members_count=9), "it counts 9 members"),
        (planted(owners_count=0), "0 owners"),
        (planted(name="other"), "the group's name"),
        (planted(open=True), "the group's open"),
        (planted(memberships={}, members_count=0, owners_count=0), "the group's members_count"),
    ],
)
def test_a_projection_that_is_off_is_found(state: Callable[[GroupState], GroupState], what: str) -> None:
    assert what in found(state)


@pytest.mark.parametrize(
    ("entries", "what"),
    [
        (damaged_entry(2, time_ms=1), "entry 3 is not there, or does not follow"),
        (damaged_entry(2, body=b'{"text":"other"}'), "entry 3 is not there, or does not follow"),
        (lambda log: log.pop(1), "entry 2 is not there"),
        (lambda log: log.pop(), "the head is not the log's end"),
    ],
)
def test_a_log_that_is_off_is_found(entries: Callable[[list[Entry]], None], what: str) -> None:
    assert what in found(None, entries)


def test_of_a_long_log_the_end_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "ENTRIES_MAX", 2)
    assert found() == ""
    assert found(planted(name="other")) == ""  # Only a fold from 1 could tell.
    assert found(None, damaged_entry(0, time_ms=1)) == ""
    assert "entry 4" in found(None, damaged_entry(3, time_ms=1))
    assert "members" in found(planted(members_count=9))


def test_looks_are_counted_and_so_is_what_they_find() -> None:
    async def run() -> None:
        disk = Disk()
        store = MemoryStore(disk, bucket_size=8)
        group = await a_group(store)
        state = await store.state(group)
        looks = Audit(store, SystemChance())
        await looks.look([])
        await looks.look([planted(members_count=audit.MEMBERS_MAX + 1)(state)])
        assert looks.audited == 0
        await looks.look([state])
        assert (looks.audited, looks.drift) == (1, 0)
        store._groups[group].state = head_off(state)
        await looks.look([state])
        assert (looks.audited, looks.drift) == (2, 1)
        disk.away = True
        await looks.look([state])
        assert (looks.audited, looks.drift) == (2, 1)

    asyncio.run(run())


def test_a_group_that_the_store_does_not_have_any_more_drifts_nowhere() -> None:
    """Set back to before it was made, under a router that knows it."""
    assert asyncio.run(drift_of(MemoryStore(Disk(), bucket_size=8), "gone")) == ""
