"""`folkmoot replay`: real chat logs through a server that may be killed again and again, and the verdict."""

import asyncio
import json
import secrets
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from folkmoot.cli.connect import NOT_DONE, WRONG_USE, DataDir, Json, fail

if TYPE_CHECKING:
    from folkmoot.checker.replay import Progress, ReplayReport


def replay(
    files: Annotated[list[Path], typer.Argument(help="Chat logs.", exists=True, dir_okay=False, readable=True)],
    rate: Annotated[float, typer.Option(min=0, help="Lines a second; 0: as fast as answers allow.")] = 0,
    kill_every: Annotated[float, typer.Option(min=0, help="SIGKILL the server about this often, in seconds.")] = 0,
    kills_min: Annotated[int, typer.Option(min=0, help="Repeat the files until there were so many kills.")] = 0,
    seed: Annotated[int | None, typer.Option(help="Of the instants of the kills.")] = None,
    url: Annotated[str, typer.Option(help="A server that runs already, whose secret is in --data-dir.")] = "",
    data_dir: DataDir = Path("data"),
    as_json: Json = False,
) -> None:
    """Send every line as its speaker, over one WebSocket a member, and judge what every member received."""
    import uvloop

    from folkmoot.checker.child import ChildFailed
    from folkmoot.checker.replay import ReplaySettings
    from folkmoot.client import ClientError

    if url and (kill_every or kills_min):
        fail("--kill-every kills a server of its own: leave --url out", WRONG_USE)
    if kills_min and not kill_every:
        fail("--kills-min needs --kill-every", WRONG_USE)
    chosen = secrets.randbits(32) if seed is None else seed
    settings = ReplaySettings(rate_per_s=rate, kill_every_s=kill_every, kills_min=kills_min, seed=chosen)
    if not as_json and kill_every:
        typer.echo(f"seed {chosen}", err=True)
    try:
        # A client costs less on uvloop, and all members of a group share this one process.
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            report = runner.run(_run(files, settings, url, data_dir, quiet=as_json))
    except (ChildFailed, ClientError, OSError) as error:
        fail(f"{type(error).__name__}: {error}")
    typer.echo(_as_json(report, chosen) if as_json else _as_text(report))
    if not report.clean:
        raise typer.Exit(NOT_DONE)


async def _run(files: list[Path], settings: object, url: str, data_dir: Path, *, quiet: bool) -> "ReplayReport":
    from rich.console import Console
    from rich.progress import Progress as Bar

    from folkmoot.checker.child import ChildServer
    from folkmoot.checker.replay import Replay, ReplaySettings
    from folkmoot.gateway.identity import secret_of

    assert isinstance(settings, ReplaySettings)
    with Bar(console=Console(stderr=True), transient=True, disable=quiet) as bar:
        task = bar.add_task("connecting", total=None)

        def show(step: "Progress") -> None:
            bar.update(task, description=f"{step.file} ({step.kills} kills)", completed=step.done, total=step.total)

        if url:
            return await Replay(files, settings, url=url, secret=secret_of(data_dir), on_progress=show).run()
        with tempfile.TemporaryDirectory(prefix="folkmoot-replay-") as folder:
            child = ChildServer(Path(folder))
            try:
                await child.start()
                secret = secret_of(Path(folder))
                replay = Replay(files, settings, url=child.url, secret=secret, child=child, on_progress=show)
                return await replay.run()
            finally:
                await child.stop()


def _as_json(report: "ReplayReport", seed: int) -> str:
    import msgspec

    fields = msgspec.to_builtins(report)
    return json.dumps(fields | {"clean": report.clean, "seed": seed})


def _as_text(report: "ReplayReport") -> str:
    from folkmoot.checker.history import FAULTS

    rate = report.entries / report.seconds if report.seconds else 0
    lines = [
        f"{report.files} files, {report.lines} lines, of them {report.messages} messages; {report.members} members",
        f"{report.entries} acknowledged, {report.deliveries} deliveries in {report.seconds:.1f} s ({rate:.0f} sends/s)",
        f"{report.kills} kills, {report.reconnects} reconnects",
    ]
    counts = report.verdict.counts
    main = ("missing", "doubled", "out_of_order", "altered")
    lines.append(", ".join(f"{counts[fault]} {fault.replace('_', ' ')}" for fault in main))
    for fault, count in counts.items():
        if count and fault not in main:
            lines.append(f"{count} {fault.replace('_', ' ')}: {FAULTS[fault]}")
    lines += [f"  {fault}: {example}" for fault, examples in report.verdict.examples.items() for example in examples]
    lines.append("clean" if report.clean else "NOT CLEAN")
    return "\n".join(lines)
