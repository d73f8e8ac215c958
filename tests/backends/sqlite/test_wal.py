"""The log written and synced anew: every byte of it, and nothing of it changed."""

from pathlib import Path

import apsw
import pytest

from folkmoot.backends.sqlite import wal
from folkmoot.backends.sqlite.database import connect
from folkmoot.testing.faulty_files import FaultyFiles


def filled(path: Path, files: FaultyFiles) -> apsw.Connection:
    database = connect(path, vfs=files.name)
    database.execute("CREATE TABLE t (x)")
    for _ in range(50):
        database.execute("INSERT INTO t VALUES (randomblob(3000))")
    return database


def test_every_byte_of_the_log_is_on_the_disk_afterwards(tmp_path: Path) -> None:
    files, path = FaultyFiles(), tmp_path / "folkmoot.db"
    database = filled(path, files)
    log = Path(f"{path}-wal").read_bytes()
    assert len(log) > 2 * wal.PIECE_BYTES
    files.forgets, files.syncs_fail = True, 1
    with pytest.raises(apsw.IOError):
        database.execute("INSERT INTO t VALUES (randomblob(3000))")
    assert files.durable()[f"{path.name}-wal"] == log
    left = Path(f"{path}-wal").read_bytes()
    assert len(left) > len(log)
    assert wal.force(path, vfs=files.name) == len(left)
    assert files.durable()[f"{path.name}-wal"] == left == Path(f"{path}-wal").read_bytes()
    assert database.execute("SELECT count(*) FROM t").fetchone() == (50,)
    database.close()


def test_a_sync_that_fails_is_told(tmp_path: Path) -> None:
    files, path = FaultyFiles(), tmp_path / "folkmoot.db"
    database = filled(path, files)
    files.syncs_fail = 1
    with pytest.raises(apsw.IOError):
        wal.force(path, vfs=files.name)
    database.close()


def test_where_there_is_no_log_of_a_database_there_is_nothing_to_do(tmp_path: Path) -> None:
    path = tmp_path / "folkmoot.db"
    assert wal.force(path) == 0
    Path(f"{path}-wal").write_bytes(b"of a database that is gone")
    assert wal.force(path) == 0
    path.touch()
    assert wal.force(path) == 0
    assert Path(f"{path}-wal").read_bytes() == b"of a database that is gone"
