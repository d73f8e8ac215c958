"""`folkmoot migrate`: makes what Cassandra holds, or brings it to this version."""

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer

from folkmoot.cli.chosen import pairs
from folkmoot.cli.connect import NOT_DONE, WRONG_USE, Json, fail


def migrate(
    config: Annotated[Path | None, typer.Option(envvar="FOLKMOOT_CONFIG", help="A TOML file of settings.")] = None,
    setting: Annotated[list[str] | None, typer.Option("--set", help="Any setting: NAME=VALUE.")] = None,
    epoch: Annotated[
        int | None, typer.Option(min=1, help="Of a new keyspace that a store is copied into: that store's.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make the keyspace and its tables in Cassandra, or bring them to this version; safe to repeat.

    The home data centre and the bucket size are written into it, and stay. Stop servers of an older version first.
    """
    import json

    from msgspec.structs import asdict

    from folkmoot.node import wiring
    from folkmoot.node.config import SettingsError, load_settings
    from folkmoot.ports.store import StoreAway, StoreUnknown

    try:
        settings = load_settings({"store": "cassandra"} | pairs(setting or []), os.environ, config)
        schema = asyncio.run(wiring.migrate(settings, epoch=epoch))
    except SettingsError as error:
        fail(str(error), WRONG_USE)
    except StoreAway as error:
        fail(str(error), NOT_DONE)
    except StoreUnknown as error:
        fail(f"{error}; run it again: it is safe to repeat", NOT_DONE)
    if as_json:
        typer.echo(json.dumps({"keyspace": settings.cassandra_keyspace} | asdict(schema)))
    else:
        typer.echo(
            f"{settings.cassandra_keyspace}: schema {schema.version}, home {schema.datacenter},"
            f" {schema.bucket_size} entries a bucket, epoch {schema.epoch}"
        )
