"""The session: what is told of it when it cannot be had, and that what a failed request says is definite or is not."""

import asyncio
from collections.abc import Awaitable, Callable

import acsylla
import msgspec
import pytest

from folkmoot.backends.cassandra import driver as driver_module
from folkmoot.backends.cassandra.driver import CassandraSettings, Driver, SettingWrong, connect
from folkmoot.ports.store import StoreAway

SELECT = "SELECT value FROM meta WHERE name = ?"


def test_settings_show_no_password() -> None:
    settings = CassandraSettings(hosts=("127.0.0.1",), datacenter="home", user="user-1", password="hidden")
    assert "hidden" not in repr(settings)
    assert "home" in repr(settings)


def test_a_node_that_is_away_or_back_is_logged_by_its_address(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        for event in ("DOWN", "UP", "ADD"):
            driver_module._tell_of_node(acsylla.HostListenerEvent[event], "10.0.0.1")
    said = [(record.message, record.__dict__["node"]) for record in caplog.records]
    assert said == [("a node of Cassandra is away", "10.0.0.1"), ("a node of Cassandra is there", "10.0.0.1")]


def test_nobody_there_is_told_by_the_name_of_the_setting() -> None:
    settings = CassandraSettings(hosts=("127.0.0.1",), port=1, datacenter="datacenter1")
    with pytest.raises(StoreAway, match=r"cassandra_hosts: no Cassandra answers at 127.0.0.1 at port 1"):
        asyncio.run(connect(settings))


@pytest.mark.cassandra
def test_a_data_centre_or_keyspace_that_is_not_there_is_told_so(
    keyspace: Callable[[int], CassandraSettings],
) -> None:
    settings = keyspace(8)
    elsewhere = msgspec.structs.replace(settings, datacenter="elsewhere")
    with pytest.raises(SettingWrong, match=r"cassandra_datacenter: .* no data centre 'elsewhere'"):
        asyncio.run(connect(elsewhere))
    with pytest.raises(
        SettingWrong, match=r"cassandra_keyspace: there is no keyspace nothing_here; `folkmoot migrate`"
    ):
        asyncio.run(connect(settings, keyspace="nothing_here"))


@pytest.mark.cassandra
def test_identical_reads_share_one(keyspace: Callable[[int], CassandraSettings]) -> None:
    async def run(driver: Driver) -> None:
        await driver.read(SELECT, ("epoch",))
        before = driver.requests
        rows = await asyncio.gather(*(driver.read(SELECT, ("epoch",)) for _ in range(50)))
        assert rows == [[("1",)]] * 50
        assert driver.requests - before == 2
        assert driver.shared == 48

    asyncio.run(_with(keyspace(8), run))


@pytest.mark.cassandra
def test_one_request_too_many_is_refused_and_nothing_of_it_done(
    keyspace: Callable[[int], CassandraSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run(driver: Driver) -> None:
        await driver.read(SELECT, ("epoch",))
        monkeypatch.setattr(driver_module, "WAITING_MAX", 4)
        writes = (driver.write("INSERT INTO meta (name, value) VALUES ('probe', ?)", (str(n),)) for n in range(9))
        answers = await asyncio.gather(*writes, return_exceptions=True)
        assert sum(isinstance(answer, StoreAway) for answer in answers) == driver.refused == 5
        assert await driver.read(SELECT, ("epoch",)) == [("1",)]

    asyncio.run(_with(keyspace(8), run))


@pytest.mark.cassandra
def test_a_condition_that_does_not_hold_says_what_is_in_the_way(keyspace: Callable[[int], CassandraSettings]) -> None:
    async def run(driver: Driver) -> None:
        applied, rows = await driver.decide(("UPDATE meta SET value = ? WHERE name = 'epoch' IF value = ?", ("2", "9")))
        assert not applied
        assert "1" in rows[0]
        assert await driver.read(SELECT, ("epoch",), serial=True) == [("1",)]

    asyncio.run(_with(keyspace(8), run))


@pytest.mark.cassandra
def test_a_long_result_comes_whole(
    keyspace: Callable[[int], CassandraSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run(driver: Driver) -> None:
        monkeypatch.setattr(driver_module, "PAGE_ROWS", 7)
        put = "INSERT INTO groups_of_user (user, group_id) VALUES ('user-1', ?)"
        await driver.write_all([(put, (f"g{n:03}",)) for n in range(40)])
        rows = await driver.read("SELECT group_id FROM groups_of_user WHERE user = ?", ("user-1",))
        assert rows == [(f"g{n:03}",) for n in range(40)]

    asyncio.run(_with(keyspace(8), run))


@pytest.mark.cassandra
def test_a_closed_session_says_so(keyspace: Callable[[int], CassandraSettings]) -> None:
    async def run(driver: Driver) -> None:
        await driver.close()
        await driver.close()
        with pytest.raises(StoreAway, match=r"closed"):
            await driver.read(SELECT, ("epoch",))
        with pytest.raises(StoreAway, match=r"closed"):
            driver.check()

    asyncio.run(_with(keyspace(8), run))


async def _with(settings: CassandraSettings, run: Callable[[Driver], Awaitable[None]]) -> None:
    driver = await connect(settings, keyspace=settings.keyspace)
    try:
        await run(driver)
    finally:
        await driver.close()
