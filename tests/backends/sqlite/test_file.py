"""The file under one writer: transactions of many writes, each for itself; checkpoints that wait for nobody."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest

from folkmoot.backends.sqlite.file import NOTE_AGAIN_S, Fault, StoreFile
from folkmoot.backends.sqlite.inspect import open_inspection
from folkmoot.backends.sqlite.reserve import Reserve
from folkmoot.model.entry import sealed
from folkmoot.model.fold import fold
from folkmoot.model.group import GroupState, Head, empty_group
from folkmoot.ports.clock import SystemClock
from folkmoot.ports.store import Conflict, MovedPointer, Write
from folkmoot.testing.faulty_files import FaultyFiles


class StillClock(SystemClock):
    """Stands still until a test moves it."""

    now_s = 0.0

    def monotonic_s(self) -> float:
        return self.now_s


class Opened:
    def __init__(self, folder: Path) -> None:
        self.clock = StillClock()
        self.path = folder / "folkmoot.db"
        self.files = FaultyFiles()
        self.file = self.made()
        self.file.open()

    def made(self, **options: Any) -> StoreFile:
        options = {"wal_bytes_max": 400_000, "checkpoint_bytes": 100_000} | options
        return StoreFile(self.path, Reserve(self.path, 0), self.clock, vfs=self.files.name, **options)

    def log_bytes(self) -> int:
        return Path(f"{self.path}-wal").stat().st_size


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    each = Opened(tmp_path)
    yield each
    each.file.close()


def group(name: str) -> GroupState:
    return empty_group(name, 1, 10)


def message(state: GroupState, send_id: str, *, size: int = 10) -> Write:
    """One more message in a group, as the store takes it; that nobody made the group is not the store's business."""
    head = state.head
    entry = sealed(
        head.hash, group=state.group, epoch=1, seq=head.seq + 1, kind="message", sender="user-1", device="d",
        send_id=send_id, time_ms=1, messages=head.messages + 1, body=b"x" * size, salt=b"s" * 16,
    )  # fmt: skip
    return Write(
        group=state.group, expected=head, entries=[entry], refusals={}, after=fold(state, entry), memberships=[]
    )


def written(write: Write, result: object) -> GroupState:
    assert isinstance(result, Head)
    return msgspec.structs.replace(write.after, head=result)


def test_in_one_transaction_each_write_is_for_itself(opened: Opened) -> None:
    one, two = message(group("g1"), "a"), message(group("g2"), "a")
    unfit = msgspec.structs.replace(message(group("g4"), "a"), entries=[*one.entries, *one.entries])
    first, again, second, misfit, pointed = opened.file.commit(
        [one, one, two, unfit, [MovedPointer("g1", "user-2", 1, 1), MovedPointer("gnone", "user-2", 1, 1)]]
    )
    assert isinstance(first, Head)
    assert isinstance(second, Head)
    assert isinstance(again, Conflict)
    assert isinstance(misfit, ValueError)
    assert pointed is None
    with open_inspection(opened.path) as seen:
        assert seen.heads() == {"g1": 1, "g2": 1}


def test_an_outcome_that_is_there_already_undoes_its_own_write_only(opened: Opened) -> None:
    one = message(group("g1"), "a")
    two = message(written(one, opened.file.commit([one])[0]), "a")
    other = message(group("g2"), "a")
    refused, taken = opened.file.commit([two, other])
    assert isinstance(refused, Conflict)
    assert isinstance(taken, Head)
    with open_inspection(opened.path) as seen:
        assert seen.heads() == {"g1": 1, "g2": 1}


def test_what_was_written_to_is_noted_a_few_times_a_second_and_nothing_that_was_undone(opened: Opened) -> None:
    def noted() -> list[str]:
        reader = opened.file.connect_reader()
        try:
            return [
                reader.execute("SELECT id FROM groups WHERE no = ?", (int(number),)).get
                for number in str(reader.execute("SELECT value FROM meta WHERE name = 'last_groups'").get).split()
            ]
        finally:
            reader.close()

    opened.file.commit([message(group("g1"), "a")])
    assert noted() == ["g1"]
    opened.file.commit([message(group("g2"), "a")])
    assert noted() == ["g1"]
    opened.files.syncs_fail = 1
    with pytest.raises(Fault):
        opened.file.commit([message(group("g3"), "a")])
    opened.file.close()
    opened.file.open()
    opened.clock.now_s += NOTE_AGAIN_S
    opened.file.commit([message(group("g4"), "a"), message(group("g5"), "a")])
    assert noted() == ["g2", "g4", "g5"]


def test_a_write_that_the_tables_cannot_hold_is_told_what_is_wrong_and_changes_nothing(opened: Opened) -> None:
    bad = message(group("g1"), "a")
    bad = msgspec.structs.replace(bad, entries=[msgspec.structs.replace(bad.entries[0], kind=None)])
    other = message(group("g2"), "a")
    results = opened.file.commit([other, bad])
    assert isinstance(results[0], Head)
    assert isinstance(results[1], apsw.ConstraintError)
    with open_inspection(opened.path) as seen:
        assert seen.heads() == {"g2": 1}


def test_a_fault_in_a_commit_is_told_and_the_file_can_be_opened_again(opened: Opened) -> None:
    one = message(group("g1"), "a")
    opened.files.syncs_fail = 1
    with pytest.raises(Fault):
        opened.file.commit([one])
    opened.file.close()
    with pytest.raises(Fault):
        opened.file.commit([one])
    opened.file.open()
    (result,) = opened.file.commit([one])
    assert isinstance(result, Head | Conflict)


def test_the_log_is_copied_when_nothing_waits_and_sooner_or_later_in_any_case(opened: Opened) -> None:
    state, lengths = group("g1"), []
    for n in range(400):
        write = message(state, str(n), size=1_000)
        state = written(write, opened.file.commit([write])[0])
        opened.file.keep_short(idle=False)
        lengths.append(opened.log_bytes())
    assert max(lengths) < 600_000
    assert opened.path.stat().st_size > 300_000
    assert opened.file.checkpoint_failures == 0


def test_a_reader_of_an_old_moment_lets_the_log_grow_and_stops_nobody(opened: Opened) -> None:
    write = message(group("g1"), "first")
    state = written(write, opened.file.commit([write])[0])
    with open_inspection(opened.path) as old:
        assert old.heads() == {"g1": 1}
        for n in range(100):
            write = message(state, str(n), size=2_000)
            state = written(write, opened.file.commit([write])[0])
            opened.file.keep_short(idle=True)
        assert opened.log_bytes() > 400_000
        assert old.heads() == {"g1": 1}
        # Each wait costs all writers a tenth of a second: it is not tried again at once.
        assert opened.file.waits_in_vain == 1
    opened.clock.now_s += 5.0
    for n in range(100, 140):
        write = message(state, str(n), size=2_000)
        state = written(write, opened.file.commit([write])[0])
        opened.file.keep_short(idle=True)
    assert opened.log_bytes() < 400_000


def test_a_checkpoint_that_fails_fails_no_commit_and_is_made_up_for(opened: Opened) -> None:
    state = group("g1")
    for n in range(300):
        write = message(state, str(n), size=1_000)
        state = written(write, opened.file.commit([write])[0])
        opened.files.syncs_fail = int(n < 100)
        opened.file.keep_short(idle=True)
        opened.files.syncs_fail = 0
        if n == 99:
            assert opened.file.checkpoint_failures > 0
            assert opened.path.stat().st_size < 100_000 < opened.log_bytes()
    assert opened.path.stat().st_size > 300_000
    opened.file.close()
    again = opened.made()
    again.open()
    again.close()
    with open_inspection(opened.path) as seen:
        assert seen.heads() == {"g1": 300}
