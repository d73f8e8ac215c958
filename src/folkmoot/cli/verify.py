"""`folkmoot verify`: read a store's logs from the first entry and check the chain, the numbers and the counts."""

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer

from folkmoot.cli.connect import NOT_DONE, WRONG_USE, DataDir, Json, fail


def verify(
    groups: Annotated[list[str] | None, typer.Argument(help="Groups by id; none: all.")] = None,
    data_dir: DataDir = Path("data"),
    as_json: Json = False,
) -> None:
    """Verify the hash chain of every log, its numbers, counts and outcomes. The server may be running."""
    from rich.console import Console
    from rich.progress import Progress

    from folkmoot.checker.logs import Unreadable, verify_store

    path = data_dir / "folkmoot.db"
    if not path.exists():
        fail(f"{data_dir} has no store", WRONG_USE)
    with Progress(console=Console(stderr=True), transient=True, disable=as_json) as progress:
        task = progress.add_task("verifying", total=None)

        def show(read: int, total: int) -> None:
            progress.update(task, completed=read, total=total)

        try:
            report = asyncio.run(verify_store(path, groups or [], show))
        except Unreadable as error:
            progress.stop()
            fail(f"{path} cannot be read: {error}")
    if as_json:
        broken = [{"group": b.group, "seq": b.seq, "what": b.what} for b in report.broken]
        typer.echo(json.dumps({"groups": report.groups, "entries": report.entries, "broken": broken}))
    else:
        typer.echo(f"{report.groups} groups, {report.entries} entries, {len(report.broken)} broken")
        for item in report.broken:
            typer.echo(f"{item.group} at {item.seq}: {item.what}")
    if report.broken:
        raise typer.Exit(NOT_DONE)
