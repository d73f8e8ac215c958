"""`folkmoot replay`: real chat logs through a server that may be killed again and again, and the verdict."""

import asyncio
import json
import secrets
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from folkmoot.cli.connect import NO_SERVER, NOT_DONE, WRONG_USE, DataDir, Json, fail, said, secret_of_running

if TYPE_CHECKING:
    from folkmoot.checker.replay import Progress, ReplayReport, ReplaySettings


def replay(
    files: Annotated[list[Path], typer.Argument(help="Chat logs.", exists=True, dir_okay=False, readable=True)],
    rate: Annotated[float, typer.Option(min=0, help="Lines a second; 0: as fast as answers allow.")] = 0,
    kill_every: Annotated[float, typer.Option(min=0, help="SIGKILL the server about this often, in seconds.")] = 0,
    kills_min: Annotated[int, typer.Option(min=0, help="Repeat the files until there were so many kills.")] = 0,
    seed: Annotated[int | None, typer.Option(help="Of the instants of the kills.")] = None,
    url: Annotated[str, typer.Option(help="A server that runs already; its own is started where none is given.")] = "",
    secret_file: Annotated[
        Path | None, typer.Option(help="With --url: that server's secret; the one in --data-dir where none is given.")
    ] = None,
    data_dir: DataDir = Path("data"),
    cluster: Annotated[
        Path | None,
        typer.Option(help="The folder of a cluster that `folkmoot cluster up` started: through all of its gateways."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Send every line as its speaker, over one WebSocket a member, and judge what every member received."""
    import uvloop

    from folkmoot.checker.child import ChildFailed
    from folkmoot.checker.replay import ReplaySettings
    from folkmoot.client import ClientError, NotConnected

    if url and cluster is not None:
        fail("--url or --cluster, not both", WRONG_USE)
    if (url or cluster is not None) and (kill_every or kills_min):
        fail("--kill-every kills a server of its own: leave --url and --cluster out", WRONG_USE)
    if kills_min and not kill_every:
        fail("--kills-min needs --kill-every", WRONG_USE)
    if secret_file is not None and not url:
        fail("--secret-file is of a server that runs already: give its --url too", WRONG_USE)
    chosen = secrets.randbits(32) if seed is None else seed
    settings = ReplaySettings(rate_per_s=rate, kill_every_s=kill_every, kills_min=kills_min, seed=chosen)
    if not as_json and kill_every:
        typer.echo(f"seed {chosen}", err=True)
    try:
        # A client costs less on uvloop, and all members of a group share this one process.
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            if cluster is not None:
                urls, its_dir = runner.run(_gateways_of(cluster))
                report = runner.run(_there(files, settings, urls, secret_of_running(None, its_dir), quiet=as_json))
            elif url:
                report = runner.run(
                    _there(files, settings, [url], secret_of_running(secret_file, data_dir), quiet=as_json)
                )
            else:
                report = runner.run(_here(files, settings, quiet=as_json))
    except NotConnected as error:
        fail(f"cannot reach {url or cluster or 'the server'}: {error.__cause__ or error}", NO_SERVER)
    except ClientError as error:
        fail(f"given up, since a client ended: {said(error)}")
    except ChildFailed as error:
        fail(f"the server did not come up. It said: {error}")
    except (OSError, ValueError) as error:
        fail(str(error), WRONG_USE)
    if as_json:
        typer.echo(_as_json(report, chosen))
    else:
        _show(report)
    if not report.clean:
        raise typer.Exit(NOT_DONE)


async def _gateways_of(folder: Path) -> tuple[list[str], Path]:
    """Where a cluster's gateways are, and the folder with its secret."""
    from folkmoot.cluster.cassandra_jars import CassandraMissing
    from folkmoot.cluster.process import ProcessFailed
    from folkmoot.cluster.running import Cluster, ClusterUnknown

    try:
        cluster = await Cluster.found(folder)
    except (ClusterUnknown, CassandraMissing, ProcessFailed) as error:
        fail(str(error), WRONG_USE)
    return cluster.gateway_urls, cluster.data_dir


async def _there(
    files: list[Path], settings: "ReplaySettings", urls: list[str], secret: bytes, *, quiet: bool
) -> "ReplayReport":
    """Through a server that runs already, or all gateways of a cluster."""
    from folkmoot.checker.replay import Replay

    with _Bar(quiet=quiet) as bar:
        return await Replay(files, settings, url=urls, secret=secret, on_progress=bar.show).run()


async def _here(files: list[Path], settings: "ReplaySettings", *, quiet: bool) -> "ReplayReport":
    """Through a server of its own, on data that is thrown away afterwards."""
    from folkmoot.checker.child import ChildServer
    from folkmoot.checker.replay import Replay
    from folkmoot.gateway.identity import secret_of

    with tempfile.TemporaryDirectory(prefix="folkmoot-replay-") as folder, _Bar(quiet=quiet) as bar:
        child = ChildServer(Path(folder))
        try:
            await child.start()
            secret = secret_of(Path(folder))
            replay = Replay(files, settings, url=child.url, secret=secret, child=child, on_progress=bar.show)
            return await replay.run()
        finally:
            await child.stop()


class _Bar:
    """How far it is, on standard error, so that a verdict can be piped on."""

    def __init__(self, *, quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import Progress

        self._bar = Progress(console=Console(stderr=True), transient=True, disable=quiet)
        self._task = self._bar.add_task("connecting", total=None)

    def __enter__(self) -> "_Bar":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, step: "Progress") -> None:
        kills = f", {step.kills} kills" if step.kills else ""
        self._bar.update(self._task, description=f"{step.file}{kills}", completed=step.done, total=step.total)


def _as_json(report: "ReplayReport", seed: int) -> str:
    import msgspec

    fields = msgspec.to_builtins(report)
    return json.dumps(fields | {"sends_per_s": round(report.sends_per_s, 1), "clean": report.clean, "seed": seed})


def _show(report: "ReplayReport") -> None:
    from rich.console import Console
    from rich.table import Table

    counts = report.verdict.counts
    table = Table(show_header=False, box=None)
    table.add_column(style="bold")
    table.add_column(justify="right")
    rows: list[tuple[str, str]] = [
        ("files", f"{report.files:,}"),
        ("lines", f"{report.lines:,}"),
        ("messages", f"{report.messages:,}"),
        ("members", f"{report.members:,}"),
        ("sends/s", f"{report.sends_per_s:,.0f}"),
        ("refused", f"{report.refused:,}"),
        ("deliveries", f"{report.deliveries:,}"),
        *((fault.replace("_", " "), f"{count:,}") for fault, count in counts.items()),
        ("kills", f"{report.kills:,}"),
        ("reconnects", f"{report.reconnects:,}"),
        ("seconds", f"{report.seconds:,.1f}"),
    ]
    for name, value in rows:
        table.add_row(name, value)
    Console().print(table)
    for line in report.verdict.lines():
        typer.echo(line)
    typer.echo("clean" if report.clean else "NOT CLEAN")
