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
    """Verify the hash chain of every log, its numbers and counts. The server may be running."""
    from folkmoot.checker.logs import Broken, verify_store

    if not (data_dir / "folkmoot.db").exists():
        fail(f"{data_dir} has no store", WRONG_USE)
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=as_json) as progress:
        task = progress.add_task("verifying", total=None)
        report = asyncio.run(
            verify_store(
                data_dir / "folkmoot.db",
                groups or [],
                lambda done, total: progress.update(task, completed=done, total=total),
            )
        )
    if as_json:
        broken = [{"group": b.group, "seq": b.seq, "what": b.what} for b in report.broken]
        typer.echo(json.dumps({"groups": report.groups, "entries": report.entries, "broken": broken}))
    else:
        typer.echo(f"{report.groups} groups, {report.entries} entries, {len(report.broken)} broken")
        for item in report.broken:
            assert isinstance(item, Broken)
            typer.echo(f"{item.group} at {item.seq}: {item.what}")
    if report.broken:
        raise typer.Exit(NOT_DONE)
