"""`folkmoot cluster`: a real cluster on this machine, for trying out and for tests."""

import asyncio
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from folkmoot.cli.connect import NOT_DONE, WRONG_USE, Json, fail

if TYPE_CHECKING:
    from folkmoot.cluster.plan import Part, Shape
    from folkmoot.cluster.running import Cluster

app = typer.Typer(help="A real cluster on this machine, for trying out and for tests.", no_args_is_help=True)

TOKEN_LIFETIME_S = 86_400
Folder = Annotated[Path, typer.Option("--folder", help="Where all of the cluster's data is.")]


@app.callback()
def options() -> None:
    """A real cluster on this machine, for trying out and for tests."""


@app.command()
def up(
    folder: Folder = Path("cluster"),
    cassandra_nodes: Annotated[int, typer.Option(help="1 or 3; 0: SQLite, which one router writes.")] = 1,
    nats: Annotated[int, typer.Option(min=1, max=9, help="Servers of NATS.")] = 3,
    gateways: Annotated[int, typer.Option(min=1, max=32, help="Each has a port of its own.")] = 2,
    routers: Annotated[int, typer.Option(min=1, max=32, help="One where the store is SQLite.")] = 2,
    deliveries: Annotated[int, typer.Option(min=1, max=32)] = 2,
    port: Annotated[int, typer.Option(min=0, max=65_000, help="Of the first gateway; 0: ports that are free.")] = 8420,
    setting: Annotated[list[str] | None, typer.Option("--set", help="Of every process of ours: NAME=VALUE.")] = None,
) -> None:
    """Start a cluster, or what is missing of it; it runs on when this command has ended.

    A folder has one cluster, of the shape that it was first started with.
    """
    from folkmoot.cluster.plan import Shape

    shape = Shape(
        cassandra_nodes=cassandra_nodes,
        nats=nats,
        gateways=gateways,
        routers=1 if cassandra_nodes == 0 else routers,
        deliveries=deliveries,
        set=tuple(setting or ()),
    )
    asyncio.run(_up(folder, shape, port))


@app.command()
def status(folder: Folder = Path("cluster"), as_json: Json = False) -> None:
    """Say what runs, what is paused, and what is gone. Exit status 0: all is ready."""
    from rich.console import Console
    from rich.table import Table

    found = asyncio.run(_status(folder))
    if as_json:
        typer.echo(json.dumps(found))
    else:
        table = Table("part", "is", "pid", "at", "its words are in", box=None)
        for one in found:
            pid = "" if one["pid"] is None else str(one["pid"])
            table.add_row(str(one["name"]), str(one["state"]), pid, str(one["url"]), str(one["log"]))
        Console(soft_wrap=True).print(table)
    if any(one["state"] != "ready" for one in found):
        raise typer.Exit(NOT_DONE)


@app.command()
def kill(
    part: Annotated[str, typer.Argument(help="As `status` names it: router-1, nats-2, cassandra-3, …")],
    folder: Folder = Path("cluster"),
    pause: Annotated[bool, typer.Option("--pause", help="SIGSTOP instead: it still believes that it serves.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="SIGCONT instead: it goes on.")] = False,
) -> None:
    """SIGKILL one process of the cluster; `up` starts it again."""
    if pause and resume:
        fail("--pause or --resume, not both", WRONG_USE)
    did_run, names = asyncio.run(_strike(folder, part, "pause" if pause else "resume" if resume else "kill"))
    if part not in names:
        fail(f"there is no {part}; there are {', '.join(names)}", WRONG_USE)
    if not did_run:
        fail(f"{part} does not run: `folkmoot cluster up` starts it", NOT_DONE)
    typer.echo(f"{part} {'is paused' if pause else 'goes on' if resume else 'is gone'}")


@app.command()
def down(
    folder: Folder = Path("cluster"),
    remove_data: Annotated[bool, typer.Option("--remove-data", help="And throw all of its data away.")] = False,
) -> None:
    """End exactly the processes that `up` started; the data stays, for the next `up`."""
    ended = asyncio.run(_down(folder, remove_data=remove_data))
    typer.echo(f"ended: {', '.join(ended) or 'nothing ran'}{'; its data is gone' if remove_data else ''}")


@app.command()
def fetch() -> None:
    """Fetch Cassandra with Maven, once for this machine: about 70 MB. It needs Java 17."""
    from folkmoot.cluster.cassandra_jars import CassandraMissing, fetched, java

    try:
        program, folder = java(), fetched()
    except CassandraMissing as missing:
        fail(str(missing), NOT_DONE)
    typer.echo(f"Cassandra is in {folder}, Java is {program}")


async def _found(folder: Path) -> "Cluster":
    from folkmoot.cluster.cassandra_jars import CassandraMissing
    from folkmoot.cluster.process import ProcessFailed
    from folkmoot.cluster.running import Cluster, ClusterUnknown

    try:
        return await Cluster.found(folder)
    except ClusterUnknown as error:
        fail(str(error), WRONG_USE)
    except (CassandraMissing, ProcessFailed) as error:
        fail(str(error), NOT_DONE)


async def _up(folder: Path, shape: "Shape", port: int) -> None:
    from folkmoot.cluster.cassandra_jars import CassandraMissing
    from folkmoot.cluster.plan import ShapeImpossible
    from folkmoot.cluster.process import ProcessFailed
    from folkmoot.cluster.running import STATE_FILE, Cluster

    try:
        if (folder / STATE_FILE).exists():
            cluster = await _found(folder)
            if cluster.shape != shape:
                fail(
                    f"the cluster in {folder} has another shape: give the same options as at first, another --folder, "
                    "or end it with `folkmoot cluster down --remove-data`",
                    WRONG_USE,
                )
        else:
            cluster = await Cluster.planned(folder, shape, tied=False, first_port=port)
        await cluster.up(_say_ready)
    except ShapeImpossible as error:
        fail(str(error), WRONG_USE)
    except (CassandraMissing, ProcessFailed) as error:
        fail(f"{error}\nWhat runs already goes on; `folkmoot cluster down --folder {folder}` ends it.", NOT_DONE)
    typer.echo(_welcome(cluster, folder))


def _say_ready(part: "Part") -> None:
    typer.echo(f"{part.name:12} is ready at {part.url}")


def _welcome(cluster: "Cluster", folder: Path) -> str:
    from folkmoot.gateway.identity import mint, secret_of

    secret, now_ms = secret_of(cluster.data_dir), time.time_ns() // 1_000_000
    first, last = cluster.gateway_urls[0], cluster.gateway_urls[-1]
    token = {user: mint(secret, user, lifetime_s=TOKEN_LIFETIME_S, now_ms=now_ms) for user in ("user-1", "user-2")}
    return f"""
The cluster is ready. As user-1, on the first gateway:

  export FOLKMOOT_URL={first} FOLKMOOT_TOKEN={token["user-1"]}
  folkmoot group create "tea room" --member user-2 --id tea-room
  folkmoot chat "tea room"

As user-2, on the last:

  export FOLKMOOT_URL={last} FOLKMOOT_TOKEN={token["user-2"]}
  folkmoot chat "tea room"

folkmoot cluster status|kill|down --folder {folder}"""


async def _status(folder: Path) -> list[dict[str, object]]:
    import msgspec

    cluster = await _found(folder)
    return [msgspec.to_builtins(one) for one in await cluster.status()]


async def _strike(folder: Path, part: str, how: str) -> tuple[bool, list[str]]:
    cluster = await _found(folder)
    names = list(cluster.parts)
    if part not in names:
        return False, names
    if how == "kill":
        return await cluster.kill(part), names
    return (cluster.pause(part) if how == "pause" else cluster.resume(part)), names


async def _down(folder: Path, *, remove_data: bool) -> list[str]:
    cluster = await _found(folder)
    ended = await cluster.down()
    if remove_data:
        cluster.remove_data()
    return ended
