"""A store keeps what was committed through kills, all or nothing, for one client at a time."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from folkmoot.client.errors import StoreTaken, StoreUnknown
from folkmoot.client.kept import Changes, Kept, KeptPlace, KeptSend
from folkmoot.client.store import ClientStore, MemoryClientStore, SqliteClientStore

PLACE = KeptPlace(position="p1", seq=1, join=1, name="n", role="owner")


def send(number: int) -> KeptSend:
    return KeptSend(send_id=f"s{number}", group="g", kind="message", join=1, body=b'{"text":"x"}')


class _Disk:
    """Where a store is, and how to come back to it after the process was killed."""

    def __init__(self, again: Callable[[], ClientStore]) -> None:
        self.again = again


@pytest.fixture(params=["memory", "sqlite"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> _Disk:
    if request.param == "sqlite":
        return _Disk(lambda: SqliteClientStore(tmp_path / "client.db"))
    only = MemoryClientStore()
    return _Disk(lambda: only)


def test_a_new_store_is_empty(disk: _Disk) -> None:
    assert disk.again().load() == Kept()


def test_what_was_committed_is_there_after_a_kill(disk: _Disk) -> None:
    store = disk.again()
    store.load()
    other = KeptPlace(position="p9", seq=9)
    store.commit(Changes(user="user-1", places={"g": PLACE, "h": other}, made=[send(2), send(1), send(3)]))
    store.commit(Changes(places={"h": None}, settled=["s1"]))
    changed = KeptSend(send_id="s2", group="g", kind="skip", join=None, body=b"{}")
    store.commit(Changes(changed=[changed]))
    assert disk.again().load() == Kept(user="user-1", places={"g": PLACE}, outbox=[changed, send(3)])


def test_made_and_settled_in_one_commit_is_gone(disk: _Disk) -> None:
    store = disk.again()
    store.load()
    store.commit(Changes(made=[send(1)], settled=["s1"]))
    assert disk.again().load().outbox == []


def test_one_made_anew_under_an_id_that_is_there_takes_its_place_as_the_last(disk: _Disk) -> None:
    store = disk.again()
    store.load()
    store.commit(Changes(made=[send(1), send(2)]))
    anew = KeptSend(send_id="s1", group="g", kind="message", join=None, body=b'{"text":"y"}')
    store.commit(Changes(made=[anew]))
    assert disk.again().load().outbox == [send(2), anew]


def test_a_kill_within_a_transaction_leaves_neither_places_nor_state(tmp_path: Path) -> None:
    store = SqliteClientStore(tmp_path / "client.db")
    store.load()
    store.db.execute("CREATE TABLE app (text TEXT)")
    store.commit(Changes(places={"g": PLACE}))
    # As far as a commit gets, but for its last word; then the process is gone.
    store.db.execute("BEGIN IMMEDIATE")
    store.db.execute("INSERT INTO app VALUES ('half')")
    store._write(store.db, Changes(places={"g": KeptPlace(position="p2", seq=2)}, made=[send(1)]))
    store.close()
    again = SqliteClientStore(tmp_path / "client.db")
    assert again.load() == Kept(places={"g": PLACE})
    assert again.db.execute("SELECT count(*) FROM app").fetchone() == (0,)


def test_an_application_that_fails_leaves_nothing(tmp_path: Path) -> None:
    store = SqliteClientStore(tmp_path / "client.db")
    store.load()
    store.db.execute("CREATE TABLE app (text TEXT)")

    def apply(tx: sqlite3.Connection) -> Changes:
        tx.execute("INSERT INTO app VALUES ('x')")
        raise LookupError("the application's own")

    with pytest.raises(LookupError):
        store.commit_with(apply)
    assert store.db.execute("SELECT count(*) FROM app").fetchone() == (0,)
    store.commit(Changes(places={"g": PLACE}))


def test_state_and_places_are_committed_together(tmp_path: Path) -> None:
    store = SqliteClientStore(tmp_path / "client.db")
    store.load()

    def apply(tx: sqlite3.Connection) -> Changes:
        tx.execute("CREATE TABLE app (text TEXT)")
        tx.execute("INSERT INTO app VALUES ('x')")
        return Changes(places={"g": PLACE}, made=[send(1)])

    store.commit_with(apply)
    again = SqliteClientStore(tmp_path / "client.db")
    assert again.load() == Kept(places={"g": PLACE}, outbox=[send(1)])
    assert again.db.execute("SELECT text FROM app").fetchall() == [("x",)]


@pytest.mark.parametrize("ending", ["COMMIT", "ROLLBACK"])
def test_an_application_that_ends_the_transaction_is_found_out(tmp_path: Path, ending: str) -> None:
    store = SqliteClientStore(tmp_path / "client.db")
    store.load()

    def apply(tx: sqlite3.Connection) -> Changes:
        tx.execute(ending)
        return Changes(places={"g": PLACE})

    with pytest.raises(RuntimeError, match="ended the transaction"):
        store.commit_with(apply)
    assert SqliteClientStore(tmp_path / "client.db").load().places == {}


def test_of_two_clients_on_one_file_the_first_can_commit_nothing_more(tmp_path: Path) -> None:
    first, second = (SqliteClientStore(tmp_path / "client.db") for _ in range(2))
    first.load()
    first.commit(Changes(places={"g": PLACE}))
    second.load()
    with pytest.raises(StoreTaken):
        first.commit(Changes(places={"g": None}))
    second.commit(Changes(made=[send(1)]))
    assert SqliteClientStore(tmp_path / "client.db").load() == Kept(places={"g": PLACE}, outbox=[send(1)])


def test_a_store_of_a_newer_sdk_is_left_alone(tmp_path: Path) -> None:
    store = SqliteClientStore(tmp_path / "client.db")
    store.load()
    store.db.execute("UPDATE folkmoot_meta SET value = '2' WHERE key = 'version'")
    store.close()
    with pytest.raises(StoreUnknown):
        SqliteClientStore(tmp_path / "client.db").load()


def test_it_may_lie_in_the_applications_own_file(tmp_path: Path) -> None:
    own = sqlite3.connect(tmp_path / "own.db")
    own.execute("CREATE TABLE positions (x INTEGER)")
    own.execute("INSERT INTO positions VALUES (1)")
    own.commit()
    own.close()
    store = SqliteClientStore(tmp_path / "own.db")
    store.load()
    store.commit(Changes(places={"g": PLACE}))
    assert store.db.execute("SELECT x FROM positions").fetchall() == [(1,)]


@pytest.mark.parametrize("with_application", [False, True])
def test_only_a_commit_that_makes_sends_waits_for_the_disk(tmp_path: Path, with_application: bool) -> None:
    store = SqliteClientStore(tmp_path / "client.db")
    store.load()
    log = tmp_path / "client.db-wal"
    under_full = 0
    log_bytes = 0

    def trace(statement: str) -> None:
        """Count what the file's log grows by while every commit is synced."""
        nonlocal under_full, log_bytes
        if statement == "PRAGMA synchronous=FULL":
            log_bytes = log.stat().st_size
        elif statement == "PRAGMA synchronous=NORMAL":
            under_full += log.stat().st_size - log_bytes

    def commit(changes: Changes) -> int:
        nonlocal under_full
        under_full = 0
        if with_application:
            store.commit_with(lambda _: changes)
        else:
            store.commit(changes)
        return under_full

    store.db.set_trace_callback(trace)
    assert commit(Changes(places={"g": PLACE})) == 0
    for number in range(3):
        assert commit(Changes(made=[send(number)])) > 0
    assert commit(Changes(settled=["s1"])) == 0
    (level,) = store.db.execute("PRAGMA synchronous").fetchone()
    assert level == 1


def test_a_store_that_is_not_open_says_so(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="not open"):
        SqliteClientStore(tmp_path / "client.db").commit(Changes())
