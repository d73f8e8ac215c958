"""`folkmoot check live`: real processes, real faults, and whether everyone got everything, once and in order."""

import asyncio
import json
import secrets
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from folkmoot.cli.connect import NO_SERVER, NOT_DONE, WRONG_USE, DataDir, Json, fail, said, secret_of_running

if TYPE_CHECKING:
    from typing import TypeAlias

    from folkmoot.checker.cluster_target import ClusterTarget
    from folkmoot.checker.live import LiveReport, LiveSettings, Step
    from folkmoot.checker.target import OwnServer, RunningServer
    from folkmoot.cluster.plan import Shape

    AnyTarget: TypeAlias = ClusterTarget | OwnServer | RunningServer

TOKEN_LIFETIME_S = 86_400


def live(
    seconds: Annotated[float, typer.Option(min=1, help="How long; more than five minutes are acts of five.")] = 60,
    hours: Annotated[float, typer.Option(min=0, help="The same in hours, for a soak.")] = 0,
    seed: Annotated[int | None, typer.Option(help="Of what is sent and struck when; drawn if left out.")] = None,
    faults: Annotated[str, typer.Option(help="Only these, with commas between; --list-faults names them.")] = "",
    clients: Annotated[int, typer.Option(min=2, max=5_000, help="Users, each with a connection.")] = 40,
    groups: Annotated[int, typer.Option(min=1, max=500, help="Groups.")] = 8,
    members: Annotated[int, typer.Option(min=2, max=1_000, help="Of each group.")] = 12,
    rate: Annotated[float, typer.Option(min=0.1, help="Sends a second, over all groups.")] = 50,
    cluster: Annotated[
        bool, typer.Option("--cluster", help="A whole cluster: two of each role, NATS, Cassandra.")
    ] = False,
    cassandra_nodes: Annotated[int, typer.Option(help="With --cluster: 1 or 3; 0: SQLite and one router.")] = 1,
    nats: Annotated[int, typer.Option(min=1, max=9, help="With --cluster: servers of NATS.")] = 3,
    url: Annotated[str, typer.Option(help="A server that runs already: only the network before it is struck.")] = "",
    secret_file: Annotated[
        Path | None, typer.Option(help="With --url: that server's secret; the one in --data-dir where none is given.")
    ] = None,
    data_dir: DataDir = Path("data"),
    connect_seconds: Annotated[float, typer.Option(min=0.1, help="How long the first connections may take.")] = 60,
    html: Annotated[Path | None, typer.Option(help="Write the report to this page.")] = None,
    list_faults: Annotated[bool, typer.Option("--list-faults", help="Name the faults, and do nothing else.")] = False,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Let a crowd talk while a server is killed, paused, cut off and filled up; judge what every member received.

    Exit status 0: clean. 1: something is missing, doubled or out of order, or somebody stayed behind.
    """
    from folkmoot.checker.child import ChildFailed
    from folkmoot.checker.crowd import CrowdSettings
    from folkmoot.checker.live import LiveSettings
    from folkmoot.checker.target import KINDS
    from folkmoot.client import ClientError, NotConnected

    if list_faults:
        for kind, meaning in KINDS.items():
            typer.echo(f"{kind:15} {meaning}")
        return
    if secret_file is not None and not url:
        fail("--secret-file is of a server that runs already: give its --url too", WRONG_USE)
    if cluster and url:
        fail("--cluster is a cluster of its own: leave out --url", WRONG_USE)
    if html is not None and not html.absolute().parent.is_dir():
        fail(f"--html: there is no folder {html.absolute().parent}", WRONG_USE)
    settings = LiveSettings(
        seconds=hours * 3_600 or seconds,
        seed=secrets.randbits(32) if seed is None else seed,
        faults=_chosen(faults),
        connect_s_max=connect_seconds,
        crowd=CrowdSettings(clients=clients, groups=groups, members=min(members, clients), sends_per_s=rate),
    )
    if not as_json:
        typer.echo(f"seed {settings.seed}", err=True)
    try:
        secret = _secret(url, secret_file, data_dir)
        report = _run(settings, url, secret, _shape(cassandra_nodes, nats) if cluster else None, quiet=as_json)
    except NotConnected as error:
        fail(f"cannot reach {url or 'the server'}: {error.__cause__ or error}", NO_SERVER)
    except ClientError as error:
        fail(f"given up, since a client ended: {said(error)}")
    except ChildFailed as error:
        fail(f"the server did not come up. It said: {error}")
    except ValueError as error:
        fail(f"--faults: {error}", WRONG_USE)
    _tell(report, html, as_json=as_json)
    if not report.clean:
        raise typer.Exit(NOT_DONE)


def _chosen(faults: str) -> tuple[str, ...]:
    from folkmoot.checker.target import KINDS

    chosen = tuple(kind.strip() for kind in faults.split(",") if kind.strip())
    unknown = [kind for kind in chosen if kind not in KINDS]
    if unknown:
        fail(f"--faults: there is no {', '.join(unknown)}; there are {', '.join(KINDS)}", WRONG_USE)
    return chosen


def _shape(cassandra_nodes: int, nats: int) -> "Shape":
    from folkmoot.checker.cluster_target import SETTINGS
    from folkmoot.cluster.plan import Shape, fault

    routers = 1 if cassandra_nodes == 0 else 2
    shape = Shape(cassandra_nodes=cassandra_nodes, nats=nats, routers=routers, set=SETTINGS)
    why = fault(shape)
    if why is not None:
        fail(f"--cassandra-nodes {cassandra_nodes}: {why}", WRONG_USE)
    return shape


def _run(
    settings: "LiveSettings", url: str, secret: bytes | None, shape: "Shape | None", *, quiet: bool
) -> "LiveReport":
    import uvloop

    from folkmoot.checker.cluster_target import ClusterTarget
    from folkmoot.checker.target import OwnServer, RunningServer
    from folkmoot.cluster.cassandra_jars import CassandraMissing
    from folkmoot.cluster.process import ProcessFailed
    from folkmoot.gateway.listener import raise_open_files

    raise_open_files()
    target: AnyTarget = RunningServer(url) if url else ClusterTarget(shape, settings.seed) if shape else OwnServer()
    # A client costs less on uvloop, and all of them share this one process.
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_check(target, secret, settings, quiet=quiet))
    except (CassandraMissing, ProcessFailed) as error:
        fail(f"the cluster: {error}")


async def _check(target: "AnyTarget", secret: bytes | None, settings: "LiveSettings", *, quiet: bool) -> "LiveReport":
    from folkmoot.checker.live import LiveCheck
    from folkmoot.checker.target import RunningServer

    with _Bar(quiet=quiet) as bar:
        try:
            await target.open()
            if not isinstance(target, RunningServer):
                for note in target.notes:
                    bar.say(note)
            check = LiveCheck(target, _tokens(target, secret), settings, bar.show)
            # From here on Ctrl-C ends the talk; before, while the server starts, it ends the command.
            pressed = _interrupt(check.stop, bar)
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, pressed)
            bar.say("Ctrl-C ends it, and judges what there is by then")
            return await check.run()
        finally:
            await target.close()


def _interrupt(stop: Callable[[], None], bar: "_Bar") -> Callable[[], None]:
    """The first Ctrl-C ends the talk and judges what there is; a second one gives up."""
    task = asyncio.current_task()
    assert task is not None
    presses: list[None] = []

    def pressed() -> None:
        presses.append(None)
        if len(presses) == 1:
            bar.say("interrupted: settling, and judging what there is (again: give up)")
            stop()
        else:
            task.cancel()

    return pressed


def _tokens(target: "AnyTarget", secret: bytes | None) -> Callable[[str], str]:
    from folkmoot.checker.target import RunningServer
    from folkmoot.gateway.identity import mint, secret_of

    if not isinstance(target, RunningServer):
        secret = secret_of(target.secret_folder)
    assert secret is not None
    key = secret
    return lambda user: mint(key, user, lifetime_s=TOKEN_LIFETIME_S, now_ms=time.time_ns() // 1_000_000)


def _secret(url: str, secret_file: Path | None, data_dir: Path) -> bytes | None:
    """The secret of a server that runs already, None for one of our own."""
    if not url:
        return None
    from folkmoot.client.link import socket_url

    try:
        socket_url(url)
    except ValueError as error:
        fail(f"--url: {error}", WRONG_USE)
    return secret_of_running(secret_file, data_dir)


class _Bar:
    """How far it is, on standard error, so that a verdict can be piped on."""

    def __init__(self, *, quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import Progress

        self._bar = Progress(console=Console(stderr=True), transient=True, disable=quiet)
        self._task = self._bar.add_task("starting", total=None)

    def __enter__(self) -> "_Bar":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def say(self, line: str) -> None:
        if not self._bar.disable:
            self._bar.console.print(line)

    def show(self, step: "Step") -> None:
        said = f"{step.doing}; {step.rounds} strikes, {step.acknowledged:,} answered"
        self._bar.update(self._task, description=said, completed=min(step.elapsed_s, step.total_s), total=step.total_s)


def _tell(report: "LiveReport", html: Path | None, *, as_json: bool) -> None:
    import msgspec

    if html is not None:
        from folkmoot.checker.live_page import page

        html.write_text(page(report), encoding="utf-8")
    if as_json:
        recoveries = msgspec.to_builtins(report.recoveries())
        fields = msgspec.to_builtins(report) | {"faults": report.faults(), "recoveries": recoveries}
        typer.echo(json.dumps(fields | {"clean": report.clean}))
    else:
        _show(report)


def _show(report: "LiveReport") -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(show_header=False, box=None)
    table.add_column(style="bold")
    table.add_column(justify="right")
    verdict = report.verdict
    rows = [
        ("acknowledged", f"{verdict.acknowledged:,}"),
        ("delivered", f"{verdict.deliveries:,}"),
        *((fault.replace("_", " "), f"{count:,}") for fault, count in verdict.counts.items()),
        ("stuck", f"{len(report.stuck):,}"),
        ("reconnects", f"{report.reconnects:,}"),
        ("seconds", f"{report.seconds:,.1f}"),
        *((f"faults: {kind.replace('_', ' ')}", f"{count:,}") for kind, count in report.faults().items()),
    ]
    for name, value in rows:
        table.add_row(name, value)
    console.print(table)
    times = Table("until all were up to date, s", "times", "p50", "max", "p50, from its start", "max", box=None)
    for kind, one in report.recoveries().items():
        figures = (f"{value:.2f}" for value in (one.p50_s, one.max_s, one.whole_p50_s, one.whole_max_s))
        times.add_row(kind.replace("_", " "), str(one.count), *figures)
    console.print(times)
    for line in verdict.lines() + report.stuck:
        typer.echo(line)
    typer.echo("clean" if report.clean else "NOT CLEAN")
