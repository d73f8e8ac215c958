"""`folkmoot backup`: a copy of the store of a server, which may be serving."""

import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from folkmoot.cli.connect import DataDir, Json, fail


def backup(
    target: Annotated[Path, typer.Argument(help="The folder to make; one that is there is never written to.")],
    data_dir: DataDir = Path("data"),
    with_secret: Annotated[
        bool, typer.Option("--with-secret", help="Take along the secret that tokens are signed with: guard it.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Back up the store, while it is served too: all that was acknowledged before is in it."""
    import json

    from msgspec.structs import asdict
    from rich.console import Console
    from rich.progress import Progress

    from folkmoot.backends.sqlite.backup import BackupFailed, back_up

    began_s = time.monotonic()
    signal.signal(signal.SIGTERM, end_at_signal)
    with Progress(console=Console(stderr=True), transient=True, disable=as_json or not sys.stderr.isatty()) as progress:
        task = progress.add_task("copying", total=None)
        try:
            facts = back_up(
                data_dir,
                target,
                now_ms=time.time_ns() // 1_000_000,
                with_secret=with_secret,
                on_progress=lambda done, total: progress.update(task, completed=done, total=total),
            )
        except BackupFailed as error:
            progress.stop()
            fail(str(error))
    took_s = time.monotonic() - began_s
    if as_json:
        typer.echo(json.dumps({"backup": str(target), "seconds": round(took_s, 3)} | asdict(facts)))
        return
    typer.echo(f"{target}: {facts.groups} groups, {facts.entries} entries, epoch {facts.epoch}, schema {facts.schema}")
    typer.echo(f"{facts.bytes} bytes in {took_s:.1f} s, checked; sha256 {facts.sha256}")
    secret = "with the secret: whoever has it can be anyone" if with_secret else "without the secret of the tokens"
    typer.echo(f"{secret}; put it back with: folkmoot restore {target} --data-dir NEW")


def end_at_signal(number: int, _: FrameType | None) -> None:
    """End as after an error, so that what is half done is removed."""
    raise SystemExit(128 + number)
