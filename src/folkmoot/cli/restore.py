"""`folkmoot restore`: a new store from a backup, under a raised epoch."""

import signal
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from folkmoot.cli.backup import end_at_signal
from folkmoot.cli.connect import NOT_DONE, DataDir, Json, fail

CUTS_SHOWN_MAX = 50


def restore(
    backup: Annotated[Path, typer.Argument(help="A backup, or the data folder of a server that has ended.")],
    data_dir: DataDir = Path("data"),
    over: Annotated[
        Path | None, typer.Option(help="The folder of the lost store, if it is still there: its epoch is passed too.")
    ] = None,
    salvage: Annotated[bool, typer.Option("--salvage", help="Take what can be read of a damaged file.")] = False,
    unseal: Annotated[
        bool,
        typer.Option("--unseal", help="Go back to a store that was copied: what was written there since is lost."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Make a store from a backup, in a folder that has none. Logs are cut at their first fault, and it is said where.

    The epoch is raised: clients that are past what was restored are told `reset`, the others go on. Status 1 where
    something was cut, or could not be read.
    """
    import json

    from msgspec import to_builtins
    from rich.console import Console
    from rich.progress import Progress

    from folkmoot.backends.sqlite.restore import RestoreFailed
    from folkmoot.backends.sqlite.restore import restore as make_anew

    signal.signal(signal.SIGTERM, end_at_signal)
    with Progress(console=Console(stderr=True), transient=True, disable=as_json or not sys.stderr.isatty()) as progress:
        task = progress.add_task("restoring", total=None)
        try:
            restored = make_anew(
                backup,
                data_dir,
                now_ms=time.time_ns() // 1_000_000,
                over=over,
                salvage=salvage,
                unseal=unseal,
                on_progress=lambda done, total: progress.update(task, completed=done, total=total),
            )
        except RestoreFailed as error:
            progress.stop()
            fail(str(error))
    if as_json:
        typer.echo(json.dumps({"data_dir": str(data_dir)} | to_builtins(restored)))
    else:
        typer.echo(
            f"{data_dir}: {restored.groups} groups, {restored.entries} entries,"
            f" epoch {restored.epoch} (before: {restored.epoch_before})"
        )
        for cut in restored.cuts[:CUTS_SHOWN_MAX]:
            typer.echo(f"cut {cut.group} from {cut.seq} on, {cut.entries} entries: {cut.what}")
        if len(restored.cuts) > CUTS_SHOWN_MAX:
            typer.echo(f"and {len(restored.cuts) - CUTS_SHOWN_MAX} more: --json has all")
        if restored.pointers_cut:
            typer.echo(f"{restored.pointers_cut} read pointers were past their heads, and stand there now")
        # After the cuts, of which there may be many: this is what an operator has to act on.
        for lost in restored.lost:
            of_groups = f", in {len(lost.groups)} groups (--json names them)" if lost.groups else ""
            typer.echo(f"LOST from {lost.table}{of_groups}: {lost.what}")
        typer.echo("users and API keys are as they were then: what was revoked since has to be revoked again")
        if not (data_dir / "secret.key").exists():
            typer.echo("no secret: the server makes one at its start, and tokens made with the old one are refused")
    if restored.cuts or restored.lost:
        raise typer.Exit(NOT_DONE)
