"""The settings that a command line, the environment and a file come to, for the verbs that are about a server."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from folkmoot.cli.connect import WRONG_USE, fail

if TYPE_CHECKING:
    from folkmoot.node.config import Loaded

Host = Annotated[str | None, typer.Option("--host", help="The address to listen on.")]
PortNumber = Annotated[int | None, typer.Option("--port", help="The port; 0 takes a free one.")]
DataPath = Annotated[str | None, typer.Option("--data-dir", "--data", help="Where the store and the secret are.")]
ConfigFile = Annotated[Path | None, typer.Option("--config", envvar="FOLKMOOT_CONFIG", help="A TOML file of settings.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="Any other setting: NAME=VALUE.")]


def pairs(settings: list[str]) -> dict[str, object]:
    """What is given by `--set`, by name. Ends the command where it is no pair."""
    found: dict[str, object] = {}
    for text in settings:
        name, equals, value = text.partition("=")
        if not equals:
            fail(f"--set {text}: NAME=VALUE", WRONG_USE)
        found[name.strip().replace("-", "_")] = value
    return found


def chosen(
    host: str | None, port: int | None, data_dir: str | None, config: Path | None, setting: list[str] | None
) -> "Loaded":
    """The settings as `serve` would have them from here, and where each came from. Raises SettingsError."""
    from folkmoot.node.config import load

    flags: dict[str, object] = {"host": host, "port": port, "data_dir": data_dir}
    return load(flags | pairs(setting or []), os.environ, config)
