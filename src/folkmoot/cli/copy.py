"""`folkmoot copy`: all that one store holds into another, which is served from then on in its place."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from folkmoot.cli.connect import WRONG_USE, Json, fail

if TYPE_CHECKING:
    from folkmoot.node.config import Settings
    from folkmoot.node.copy import Copied, OnProgress


def copy(
    source: Annotated[Path, typer.Option("--from", help="A data folder, or a TOML file of settings.")],
    target: Annotated[Path, typer.Option("--to", help="The same, of an empty store or one that does not exist.")],
    as_json: Json = False,
) -> None:
    """Copy a store into another with all numbers, and compare them entry by entry. Nobody may serve either meanwhile.

    The source is sealed then: `serve` refuses it. Clients go on at the target where they were. What is interrupted
    goes on where it was when it is run again; until then the target is not served, and the source still counts.
    """
    import json

    from msgspec.structs import asdict
    from rich.console import Console
    from rich.progress import Progress, TextColumn

    columns = (TextColumn("{task.description}"), TextColumn("{task.completed} entries"))
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=as_json or not sys.stderr.isatty()) as progress:
        task = progress.add_task("opening", total=None)
        copied = _copied(source, target, lambda doing, done: progress.update(task, description=doing, completed=done))
    if as_json:
        typer.echo(json.dumps({"from": str(source), "to": str(target)} | asdict(copied)))
        return
    typer.echo(
        f"{target}: {copied.groups} groups, {copied.entries} entries, {copied.refusals} refusals, {copied.pointers}"
        f" read pointers, {copied.users} users, {copied.keys} API keys, epoch {copied.epoch}: all compared"
    )
    typer.echo(f"{source} is sealed: serve {target} from now on")
    if copied.secret:
        typer.echo("its secret was taken along: tokens stay good")
    else:
        typer.echo(
            "put its secret.key and secret.old.json into the data folder of whoever serves, for tokens to stay good"
        )


def _copied(source: Path, target: Path, on_progress: "OnProgress") -> "Copied":
    import asyncio
    import os

    from folkmoot.backends.sqlite.store import StoreInUse
    from folkmoot.node.config import SettingsError
    from folkmoot.node.copy import CopyFailed
    from folkmoot.ports.store import SchemaUnknown, StoreAway, StoreBroken, StoreUnknown

    try:
        ours, theirs = _settings_of(source), _settings_of(target)
        return asyncio.run(_run(ours, theirs, (source, target), on_progress))
    except SettingsError as error:
        fail(str(error), WRONG_USE)
    except (CopyFailed, StoreAway, StoreUnknown) as error:
        fail(str(error))
    except StoreInUse as error:
        fail(f"{error}: stop the server that has it, and give two stores")
    except (SchemaUnknown, StoreBroken) as error:
        fail(f"a store cannot be opened: {error}")
    except OSError as error:
        fail(f"{error.filename or target}: {os.strerror(error.errno) if error.errno else error}")


async def _run(ours: "Settings", theirs: "Settings", names: tuple[Path, Path], on_progress: "OnProgress") -> "Copied":
    import contextlib

    from folkmoot.backends.sqlite.restore import take_secrets
    from folkmoot.node.copy import copy_store
    from folkmoot.node.wiring import open_to_copy
    from folkmoot.ports.clock import SystemChance, SystemClock

    clock = SystemClock()
    async with contextlib.AsyncExitStack() as opened:
        source = await open_to_copy(ours, clock, str(names[0].absolute()), epoch=None)
        opened.push_async_callback(source.store.close)
        epoch = await source.store.epoch()
        target = await open_to_copy(theirs, clock, str(names[1].absolute()), epoch=epoch)
        opened.push_async_callback(target.store.close)
        new_copy = SystemChance().token(8).hex()
        copied = await copy_store(source, target, clock, new_copy=new_copy, on_progress=on_progress)
        # Those of a cluster have the secret from whoever runs it.
        if (ours.store, theirs.store) == ("sqlite", "sqlite"):
            copied.secret = take_secrets(Path(ours.data_dir), Path(theirs.data_dir))
        return copied


def _settings_of(place: Path) -> "Settings":
    """Of a data folder the settings that serve it from there; a file's own, without the environment."""
    from folkmoot.node.config import load_settings

    if place.suffix == ".toml":
        return load_settings({}, {}, place)
    return load_settings({"data_dir": str(place)}, {}, None)
