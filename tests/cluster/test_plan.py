"""Which processes a cluster has, how each is started, and which clusters there cannot be."""

import json
from pathlib import Path

import pytest

from folkmoot.cluster.plan import Part, Ports, Programs, Shape, data_dir, fault, names, parts, store_settings
from folkmoot.node.config import ROLES

FOLDER = Path("/somewhere/cluster")
PROGRAMS = Programs(nats=Path("/bin/nats-server"), java="/bin/java", jars=Path(__file__).parent)
SHAPE = Shape(cassandra_nodes=3, set=("drain_spread_s=0",))


def ports_of(shape: Shape) -> Ports:
    return Ports(
        cql=9142,
        storage=7100,
        nats=tuple(4300 + number for number in range(shape.nats)),
        nats_routes=tuple(6300 + number for number in range(shape.nats)),
        ours={name: 8500 + number for number, name in enumerate(names(shape))},
    )


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> dict[str, Part]:
    monkeypatch.setattr("folkmoot.cluster.cassandra_node.command", lambda node, java, jars: [java, node.address])
    return parts(FOLDER, SHAPE, ports_of(SHAPE), PROGRAMS)


def settings_of(part: Part) -> list[str]:
    words = part.command
    return [words[at + 1] for at, word in enumerate(words) if word == "--set"]


def test_each_finds_what_it_needs_started_before_it(planned: dict[str, Part]) -> None:
    assert list(planned) == [
        "cassandra-1", "cassandra-2", "cassandra-3", "nats-1", "nats-2", "nats-3",
        "router-1", "router-2", "delivery-1", "delivery-2", "gateway-1", "gateway-2",
    ]  # fmt: skip
    assert {part.kind for part in planned.values()} == {"cassandra", "nats", *ROLES}


def test_no_two_listen_at_the_same_place(planned: dict[str, Part]) -> None:
    assert len({(part.address, part.port) for part in planned.values()}) == len(planned)


def test_all_words_and_files_are_under_the_one_folder(planned: dict[str, Part]) -> None:
    for part in planned.values():
        assert all(path.is_relative_to(FOLDER) for path in (part.log, *part.files))
    assert data_dir(FOLDER).is_relative_to(FOLDER)


def test_ours_know_the_role_the_bus_and_the_store(planned: dict[str, Part]) -> None:
    assert settings_of(planned["router-2"]) == [
        "roles=router",
        "bus=nats",
        "nats_urls=nats://127.0.0.1:4300,nats://127.0.0.1:4301,nats://127.0.0.1:4302",
        *store_settings(SHAPE, ports_of(SHAPE)),
        "drain_spread_s=0",
    ]
    assert "cassandra_hosts=127.0.0.1,127.0.0.2,127.0.0.3" in settings_of(planned["gateway-1"])
    assert "cassandra_replication=3" in settings_of(planned["gateway-1"])


def test_ours_go_where_they_are_told_to_find_the_bus() -> None:
    shape = Shape(cassandra_nodes=0, routers=1)
    planned = parts(FOLDER, shape, ports_of(shape), PROGRAMS, ("nats://127.0.0.1:9",))
    assert "nats_urls=nats://127.0.0.1:9" in settings_of(planned["delivery-1"])


def test_nats_servers_know_one_another_and_tell_nobody(planned: dict[str, Part]) -> None:
    (text,) = planned["nats-2"].files.values()
    config = json.loads(text)
    assert config["cluster"]["routes"] == ["nats-route://127.0.0.1:6300", "nats-route://127.0.0.1:6302"]
    assert config["cluster"]["no_advertise"] is True
    assert config["listen"] == "127.0.0.1:4301"


def test_one_nats_server_is_no_cluster() -> None:
    shape = Shape(cassandra_nodes=0, routers=1, nats=1)
    (text,) = parts(FOLDER, shape, ports_of(shape), PROGRAMS)["nats-1"].files.values()
    assert "cluster" not in json.loads(text)


def test_without_cassandra_the_store_is_the_file_of_all() -> None:
    shape = Shape(cassandra_nodes=0, routers=1)
    planned = parts(FOLDER, shape, ports_of(shape), Programs(nats=PROGRAMS.nats))
    assert store_settings(shape, ports_of(shape)) == ()
    ours = [part for part in planned.values() if part.kind in ROLES]
    assert all(str(data_dir(FOLDER)) in part.command for part in ours)


@pytest.mark.parametrize(
    ("shape", "names_it"),
    [
        (Shape(cassandra_nodes=2), "1 or 3"),
        (Shape(cassandra_nodes=0), "one router"),
        (Shape(gateways=0), "at least one"),
    ],
)
def test_what_cannot_be_is_named(shape: Shape, names_it: str) -> None:
    assert names_it in (fault(shape) or "")


def test_what_can_be_has_no_fault() -> None:
    assert [fault(one) for one in (Shape(), SHAPE, Shape(cassandra_nodes=0, routers=1))] == [None, None, None]
