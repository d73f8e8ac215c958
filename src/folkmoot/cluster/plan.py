"""Which processes a cluster on this machine has, and with which words each is started. Pure."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, TypeAlias

import msgspec

from folkmoot.cluster import cassandra_node
from folkmoot.cluster.cassandra_node import NodeSettings

Kind: TypeAlias = Literal["cassandra", "nats", "router", "delivery", "gateway"]

KINDS: Final[tuple[Kind, ...]] = ("cassandra", "nats", "router", "delivery", "gateway")
"""In the order of their start: each finds there what it needs."""

LOOPBACK: Final = "127.0.0.1"
PAYLOAD_BYTES_MAX: Final = 4 * 1_048_576
PENDING_BYTES_MAX: Final = 64 * 1_048_576
NODES_MAX: Final = 3


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """How many of each. Without a node of Cassandra the store is a file of SQLite, which one router writes.

    `set`: settings of every process of ours, each NAME=VALUE.
    """

    cassandra_nodes: int = 1
    nats: int = 3
    gateways: int = 2
    routers: int = 2
    deliveries: int = 2
    set: tuple[str, ...] = ()


class Ports(msgspec.Struct, frozen=True, kw_only=True):
    """Of loopback, drawn once, so that a process that comes back is found where it was.

    `nats` and `nats_routes`: one a server. `ours`: by name of the part.
    """

    cql: int
    storage: int
    nats: tuple[int, ...]
    nats_routes: tuple[int, ...]
    ours: dict[str, int]


class Programs(msgspec.Struct, frozen=True, kw_only=True):
    """What is run: Java and Cassandra's jars (None without Cassandra), and `nats-server`."""

    nats: Path
    java: str | None = None
    jars: Path | None = None


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One process. `files` are written before it starts, `log` has its words; it is ready when `port` answers."""

    name: str
    kind: Kind
    address: str
    port: int
    command: tuple[str, ...]
    log: Path
    files: Mapping[Path, str] = {}

    @property
    def url(self) -> str:
        scheme = {"nats": "nats", "cassandra": "cql"}.get(self.kind, "http")
        return f"{scheme}://{self.address}:{self.port}"


class ShapeImpossible(ValueError):
    """No such cluster can be; the text names what, and what can."""


def fault(shape: Shape) -> str | None:
    """Why there can be no such cluster, None where there can."""
    if shape.cassandra_nodes not in (0, 1, NODES_MAX):
        return "0 (SQLite), 1 or 3 nodes of Cassandra: two have no majority that one of them could be missing from"
    if min(shape.nats, shape.gateways, shape.routers, shape.deliveries) < 1:
        return "at least one NATS server, gateway, router and delivery"
    if shape.cassandra_nodes == 0 and shape.routers > 1:
        return "one router without Cassandra: a file of SQLite has one writer"
    return None


def names(shape: Shape) -> dict[str, Kind]:
    """The parts' names, in the order of their start."""
    counts: dict[Kind, int] = {
        "cassandra": shape.cassandra_nodes,
        "nats": shape.nats,
        "router": shape.routers,
        "delivery": shape.deliveries,
        "gateway": shape.gateways,
    }
    return {f"{kind}-{number}": kind for kind in KINDS for number in range(1, counts[kind] + 1)}


def parts(
    folder: Path, shape: Shape, ports: Ports, programs: Programs, nats_urls: tuple[str, ...] = ()
) -> dict[str, Part]:
    """By name, in the order of their start. `nats_urls`: where ours find NATS, if not straight at its servers."""
    urls = nats_urls or tuple(f"nats://{LOOPBACK}:{port}" for port in ports.nats)
    made: dict[str, Part] = {}
    for name, kind in names(shape).items():
        number = int(name.rpartition("-")[2])
        if kind == "cassandra":
            made[name] = _cassandra(folder, number, shape, ports, programs)
        elif kind == "nats":
            made[name] = _nats(folder, number, ports, programs)
        else:
            made[name] = _ours(folder, name, kind, shape, ports, urls)
    return made


def store_settings(shape: Shape, ports: Ports) -> tuple[str, ...]:
    """NAME=VALUE, of every process that opens the store."""
    if shape.cassandra_nodes == 0:
        return ()
    hosts = ",".join(_node_address(number) for number in range(1, shape.cassandra_nodes + 1))
    return (
        "store=cassandra",
        f"cassandra_hosts={hosts}",
        f"cassandra_port={ports.cql}",
        f"cassandra_replication={shape.cassandra_nodes}",
    )


def data_dir(folder: Path) -> Path:
    """Of all processes of ours: the secret, and SQLite's file where that is the store."""
    return folder / "data"


def _node_address(number: int) -> str:
    return f"127.0.0.{number}"


def _cassandra(folder: Path, number: int, shape: Shape, ports: Ports, programs: Programs) -> Part:
    assert programs.java is not None
    assert programs.jars is not None
    node = NodeSettings(
        folder=folder / f"cassandra-{number}",
        address=_node_address(number),
        cql_port=ports.cql,
        storage_port=ports.storage,
        nodes=shape.cassandra_nodes,
    )
    return Part(
        name=f"cassandra-{number}",
        kind="cassandra",
        address=node.address,
        port=ports.cql,
        command=tuple(cassandra_node.command(node, programs.java, programs.jars)),
        log=node.folder / "words.log",
        files=cassandra_node.files(node),
    )


def _nats(folder: Path, number: int, ports: Ports, programs: Programs) -> Part:
    name, port, routes = f"nats-{number}", ports.nats[number - 1], ports.nats_routes
    config: dict[str, object] = {
        "server_name": name,
        "listen": f"{LOOPBACK}:{port}",
        "max_payload": PAYLOAD_BYTES_MAX,
        "max_pending": PENDING_BYTES_MAX,
        "write_deadline": "5s",
    }
    if len(routes) > 1:
        config["cluster"] = {
            "name": "folkmoot",
            "listen": f"{LOOPBACK}:{routes[number - 1]}",
            "routes": [f"nats-route://{LOOPBACK}:{one}" for one in routes if one != routes[number - 1]],
            # A client knows the servers from its settings alone: others would be ways around a proxy.
            "no_advertise": True,
        }
    path = folder / name / "nats.conf"
    return Part(
        name=name,
        kind="nats",
        address=LOOPBACK,
        port=port,
        command=(str(programs.nats), "-c", str(path)),
        log=folder / name / "words.log",
        files={path: json.dumps(config, indent=1)},
    )


def _ours(folder: Path, name: str, role: Kind, shape: Shape, ports: Ports, urls: tuple[str, ...]) -> Part:
    port = ports.ours[name]
    settings = (f"roles={role}", "bus=nats", f"nats_urls={','.join(urls)}", *store_settings(shape, ports), *shape.set)
    return Part(
        name=name,
        kind=role,
        address=LOOPBACK,
        port=port,
        command=(
            sys.executable, "-m", "folkmoot.cli", "serve", "--json", "--host", LOOPBACK, "--port", str(port),
            "--data-dir", str(data_dir(folder)), *(word for one in settings for word in ("--set", one)),
        ),
        log=folder / name / "words.log",
    )  # fmt: skip
