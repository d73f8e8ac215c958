"""`folkmoot config show`: every setting, its value, where that came from, and why there is such a setting."""

import json
import re
from typing import Final

import typer

from folkmoot.cli.chosen import ConfigFile, DataPath, Host, PortNumber, Set, chosen
from folkmoot.cli.connect import WRONG_USE, Json, fail

app = typer.Typer(help="Settings, and where each value came from.", no_args_is_help=True)

HIDDEN: Final = "(not shown)"
_SECRET: Final = re.compile(r"(secret|password|passphrase|token|api_key)$")
_CREDENTIALS: Final = re.compile(r"(?<=://)[^/@\s]+@")


@app.callback()
def options() -> None:
    """Settings, and where each value came from."""


@app.command()
def show(
    host: Host = None,
    port: PortNumber = None,
    data_dir: DataPath = None,
    config: ConfigFile = None,
    setting: Set = None,
    changed: bool = typer.Option(False, "--changed", help="Only those that are not their defaults."),
    as_json: Json = False,
) -> None:
    """Show what `serve` would be set to from here: by default, file, variable or flag. Secrets are not shown."""
    from folkmoot.node.config import Settings, SettingsError, changes_live, reason_of

    try:
        loaded = chosen(host, port, data_dir, config, setting)
    except SettingsError as error:
        fail(str(error), WRONG_USE)
    rows = [
        {
            "setting": name,
            "value": shown(name, getattr(loaded.settings, name)),
            "from": loaded.sources[name],
            "live": changes_live(name),
            "reason": reason_of(name),
        }
        for name in Settings.__struct_fields__
        if not changed or loaded.sources[name] != "default"
    ]
    if as_json:
        typer.echo(json.dumps(rows))
        return
    for row in rows:
        typer.echo(f"{row['setting']} = {_as_text(row['value'])}  ({row['from']})")
        typer.echo(f"    {row['reason']}{' Changes on a reload.' if row['live'] else ''}")


def shown(name: str, value: object) -> object:
    """The value as it may be seen: not a secret, and no credentials within an address."""
    if value and _SECRET.search(name):
        return HIDDEN
    return _CREDENTIALS.sub(f"{HIDDEN}@", value) if isinstance(value, str) else value


def _as_text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or '""'
    return str(value) if value != "" else '""'
