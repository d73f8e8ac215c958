"""`folkmoot check heal`: how long a cluster takes to notice each fault, and to heal."""

import asyncio
import json
import secrets
import signal
import time
from typing import TYPE_CHECKING, Annotated

import typer

from folkmoot.cli.connect import NOT_DONE, WRONG_USE, Json, fail, said

if TYPE_CHECKING:
    from folkmoot.checker.cluster_target import ClusterTarget
    from folkmoot.checker.healing import Fault, HealReport, HealSettings
    from folkmoot.cluster.plan import Shape

TOKEN_LIFETIME_S = 86_400


def heal(
    faults: Annotated[str, typer.Option(help="Only these, with commas between; --help names all.")] = "",
    strikes: Annotated[int, typer.Option(min=1, max=1_000, help="How often each.")] = 5,
    clients: Annotated[int, typer.Option(min=2, max=5_000, help="Users, each with a connection.")] = 200,
    groups: Annotated[int, typer.Option(min=1, max=500, help="Groups.")] = 20,
    members: Annotated[int, typer.Option(min=2, max=1_000, help="Of each group.")] = 20,
    rate: Annotated[float, typer.Option(min=0.1, help="Sends a second, over all groups.")] = 50,
    cassandra_nodes: Annotated[int, typer.Option(help="1 or 3; 0: SQLite and one router.")] = 1,
    nats: Annotated[int, typer.Option(min=1, max=9, help="Servers of NATS.")] = 3,
    back_seconds: Annotated[
        float | None, typer.Option(min=0, help="Start what was killed again so long after; once healed if left out.")
    ] = None,
    away_seconds: Annotated[float, typer.Option(min=3, help="How long bus_away lasts.")] = 30,
    seed: Annotated[int | None, typer.Option(help="Of what is sent and struck when; drawn if left out.")] = None,
    as_json: Json = False,
) -> None:
    """Strike a cluster of its own while a crowd talks, and measure until nobody waits for a message any more.

    kill_router, kill_delivery, kill_gateway, kill_nats: SIGKILL of one. kill_cassandra: of one node of three. bus_away:
    all NATS servers gone for a while, and nobody sends when they return. join: a third router, then a third delivery;
    on SQLite the delivery alone.

    Exit status 0: clean. 1: something is missing, doubled or out of order, or somebody stayed behind. Times do not
    count: they say as much of the machine.
    """
    from folkmoot.checker.cluster_target import SETTINGS
    from folkmoot.checker.crowd import CrowdSettings
    from folkmoot.checker.healing import HealSettings, shape_of
    from folkmoot.client import ClientError
    from folkmoot.cluster.plan import fault

    chosen = _chosen(faults, cassandra_nodes)
    settings = HealSettings(
        faults=chosen,
        strikes=strikes,
        back_s=back_seconds,
        away_s=away_seconds,
        seed=secrets.randbits(32) if seed is None else seed,
        crowd=CrowdSettings(clients=clients, groups=groups, members=min(members, clients), sends_per_s=rate),
    )
    try:
        shape = shape_of(cassandra_nodes, nats, chosen, SETTINGS)
    except ValueError as error:
        fail(f"--faults: {error}", WRONG_USE)
    if why := fault(shape):
        fail(f"--cassandra-nodes {cassandra_nodes}: {why}", WRONG_USE)
    if not as_json:
        typer.echo(f"seed {settings.seed}", err=True)
    try:
        report = _run(shape, settings, quiet=as_json)
    except ClientError as error:
        fail(f"given up, since a client ended: {said(error)}")
    _tell(report, as_json=as_json)
    if not report.clean:
        raise typer.Exit(NOT_DONE)


def _chosen(faults: str, cassandra_nodes: int) -> "tuple[Fault, ...]":
    """Those named; else all that such a cluster can suffer."""
    from folkmoot.checker.healing import FAULTS
    from folkmoot.cluster.plan import NODES_MAX

    named = [one.strip() for one in faults.split(",") if one.strip()]
    if unknown := [one for one in named if one not in FAULTS]:
        fail(f"--faults: there is no {', '.join(unknown)}; there are {', '.join(FAULTS)}", WRONG_USE)
    if named:
        return tuple(fault for fault in FAULTS if fault in named)
    return tuple(fault for fault in FAULTS if fault != "kill_cassandra" or cassandra_nodes == NODES_MAX)


def _run(shape: "Shape", settings: "HealSettings", *, quiet: bool) -> "HealReport":
    import uvloop

    from folkmoot.checker.cluster_target import ClusterTarget
    from folkmoot.checker.healing import spare_of
    from folkmoot.cluster.cassandra_jars import CassandraMissing
    from folkmoot.cluster.process import ProcessFailed
    from folkmoot.gateway.listener import raise_open_files

    raise_open_files()
    target = ClusterTarget(shape, settings.seed, spare=spare_of(shape, settings.faults))
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_check(target, settings, quiet=quiet))
    except (asyncio.CancelledError, KeyboardInterrupt):
        fail("stopped")
    except (CassandraMissing, ProcessFailed) as error:
        fail(f"the cluster: {error}")


async def _check(target: "ClusterTarget", settings: "HealSettings", *, quiet: bool) -> "HealReport":
    from folkmoot.checker.healing import HealCheck
    from folkmoot.gateway.identity import mint, secret_of

    def tell(line: str) -> None:
        if not quiet:
            typer.echo(line, err=True)

    task = asyncio.current_task()
    assert task is not None
    # As Ctrl-C does: processes and gigabytes of memory would be left else.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        tell("starting the cluster")
        await target.open()
        for note in target.notes:
            tell(note)
        key = secret_of(target.secret_folder)
        now_ms = time.time_ns() // 1_000_000
        return await HealCheck(
            target, lambda user: mint(key, user, lifetime_s=TOKEN_LIFETIME_S, now_ms=now_ms), settings, tell
        ).run()
    finally:
        await target.close()


def _tell(report: "HealReport", *, as_json: bool) -> None:
    import msgspec

    if as_json:
        fields = msgspec.to_builtins(report) | {"summaries": msgspec.to_builtins(report.summaries())}
        typer.echo(json.dumps(fields | {"clean": report.clean}))
        return
    _show(report)


def _show(report: "HealReport") -> None:
    from rich.console import Console
    from rich.table import Table

    from folkmoot.checker.healing import AIMS_S

    verdict = report.verdict
    typer.echo(
        f"{report.clients} clients, {report.sends_per_s:g} sends a second; {report.cores} cores, "
        f"load {report.load[0]:.1f} to {report.load[1]:.1f}"
    )
    table = Table(box=None)
    for name in ("seconds", "strikes", "noticed p50", "max", "healed p50", "max", "aim", "longest wait", "reconnects"):
        table.add_column(name, justify="left" if name == "seconds" else "right")
    for fault, one in report.summaries().items():
        figures = (one.noticed_p50_s, one.noticed_max_s, one.healed_p50_s, one.healed_max_s, AIMS_S[fault])
        written = ("-" if figure is None else f"{figure:.2f}" for figure in figures)
        more = (f"{one.longest_s:.2f}", str(one.reconnects))
        table.add_row(fault.replace("_", " "), str(one.count), *written, *more)
    Console(width=120).print(table)
    counts = ", ".join(f"{count:,} {fault.replace('_', ' ')}" for fault, count in verdict.counts.items())
    typer.echo(f"{verdict.acknowledged:,} acknowledged, {verdict.deliveries:,} delivered: {counts}")
    for line in verdict.lines() + report.stuck:
        typer.echo(line)
    typer.echo("clean" if report.clean else "NOT CLEAN")
