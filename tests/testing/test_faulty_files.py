"""The played disk itself: it fails as a disk does, and keeps exactly what one would."""

from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from folkmoot.testing.faulty_files import FaultyFiles, FaultyReserve

OPEN = apsw.SQLITE_OPEN_MAIN_DB | apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE


class Disk:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.files = FaultyFiles(seed=7)
        self.file = apsw.VFSFile(self.files.name, str(path), [OPEN, 0])

    def durable(self) -> bytes:
        return self.files.durable()[self.path.name]

    def images(self, count: int) -> set[bytes]:
        return {self.files.image()[self.path.name] for _ in range(count)}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    opened = Disk(tmp_path / "file")
    yield opened
    opened.file.xClose()


def test_only_what_was_synced_outlives_the_worst_cut(disk: Disk) -> None:
    disk.file.xWrite(b"aaaa", 0)
    assert disk.durable() == b""
    disk.file.xSync(apsw.SQLITE_SYNC_NORMAL)
    disk.file.xWrite(b"bb", 1)
    disk.file.xTruncate(3)
    assert disk.path.read_bytes() == b"abb"
    assert disk.durable() == b"aaaa"


def test_a_cut_leaves_any_part_of_what_came_after_the_last_sync_and_tears_the_last_write(disk: Disk) -> None:
    disk.file.xWrite(b"....", 0)
    disk.file.xSync(apsw.SQLITE_SYNC_NORMAL)
    disk.file.xWrite(b"1", 0)
    disk.file.xWrite(b"22", 2)
    assert disk.images(400) == {b"....", b"1...", b"1.2.", b"1.22", b"..22", b"..2."}


def test_what_a_failed_sync_forgot_reads_as_written_and_never_gets_there_by_itself(disk: Disk) -> None:
    disk.files.forgets, disk.files.syncs_fail = True, 1
    disk.file.xWrite(b"lost", 0)
    with pytest.raises(apsw.IOError):
        disk.file.xSync(apsw.SQLITE_SYNC_NORMAL)
    disk.file.xSync(apsw.SQLITE_SYNC_NORMAL)
    assert disk.path.read_bytes() == b"lost"
    assert disk.durable() == b""
    disk.file.xWrite(b"lost", 0)
    disk.file.xSync(apsw.SQLITE_SYNC_NORMAL)
    assert disk.durable() == b"lost"


def test_a_sync_that_fails_without_forgetting_can_be_made_up_for(disk: Disk) -> None:
    disk.files.syncs_fail = 1
    disk.file.xWrite(b"late", 0)
    with pytest.raises(apsw.IOError):
        disk.file.xSync(apsw.SQLITE_SYNC_NORMAL)
    disk.file.xSync(apsw.SQLITE_SYNC_NORMAL)
    assert disk.durable() == b"late"


def test_a_full_disk_takes_what_needs_no_room(disk: Disk) -> None:
    disk.file.xWrite(b"12345678", 0)
    disk.files.full = True
    disk.file.xWrite(b"87654321", 0)
    with pytest.raises(apsw.FullError):
        disk.file.xWrite(b"9", 8)
    disk.files.full, disk.files.room_bytes = False, 10
    disk.file.xWrite(b"90", 8)
    with pytest.raises(apsw.FullError):
        disk.file.xWrite(b"1", 10)
    assert disk.path.read_bytes() == b"8765432190"


def test_the_reserve_takes_its_room_from_the_same_disk(disk: Disk, tmp_path: Path) -> None:
    disk.files.room_bytes = 100
    reserve = FaultyReserve(disk.files, tmp_path / "reserve", 60)
    assert reserve.make()
    assert disk.files.free_bytes() == 40
    with pytest.raises(apsw.FullError):
        disk.file.xWrite(b"x" * 41, 0)
    assert reserve.release()
    disk.file.xWrite(b"x" * 41, 0)
    assert not reserve.make()
    assert reserve.spent


def test_a_cut_before_each_write_is_kept_with_what_was_known_then(disk: Disk) -> None:
    known: list[int] = []
    disk.files.cut_chance, disk.files.on_cut = 1.0, known.copy
    for n in range(3):
        known.append(n)
        disk.file.xWrite(b"x", n)
    disk.files.cut_chance = 0.0
    disk.file.xWrite(b"y", 0)
    assert [cut.note for cut in disk.files.cuts] == [[0], [0, 1], [0, 1, 2]]


def test_files_of_a_killed_process_are_taken_over_with_what_of_them_is_durable(tmp_path: Path) -> None:
    files, path = FaultyFiles(), tmp_path / "file"
    path.write_bytes(b"written")
    files.adopt(tmp_path, {"file": b"synced"})
    assert files.durable() == {"file": b"synced"}
    file = apsw.VFSFile(files.name, str(path), [OPEN, 0])
    assert file.xRead(7, 0) == b"written"
    file.xSync(apsw.SQLITE_SYNC_NORMAL)
    file.xClose()
    assert files.durable() == {"file": b"written"}
