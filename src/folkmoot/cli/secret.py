"""`folkmoot secret`: change the secret that the server signs tokens with."""

import re
import time
from pathlib import Path
from typing import Annotated, Final

import typer

from folkmoot.cli.connect import WRONG_USE, DataDir, fail

app = typer.Typer(help="Change the secret that the server signs tokens with.", no_args_is_help=True)

_UNITS_S: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
KEEP_DAYS_MAX: Final = 365


@app.callback()
def options() -> None:
    """Change the secret that the server signs tokens with."""


@app.command()
def rotate(
    keep_old_for: Annotated[
        str, typer.Option(metavar="TIME", help="How long tokens of the old one stay good: 30m, 1h, 7d. 0: not at all.")
    ] = "0",
    data_dir: DataDir = Path("data"),
) -> None:
    """Put a new secret in place of the old one; a server that runs takes it up at once.

    Connections of tokens that are no longer good end then. Backends that sign with the secret need the new one.
    """
    from folkmoot.gateway.identity import SECRET_FILE, SecretUnsafe
    from folkmoot.gateway.rotation import rotate as put_new

    keep_s = _seconds(keep_old_for)
    try:
        put_new(data_dir, keep_old_ms=keep_s * 1_000, now_ms=time.time_ns() // 1_000_000)
    except FileNotFoundError:
        fail(f"{data_dir} has no secret: is it the server's --data-dir?", WRONG_USE)
    except (OSError, SecretUnsafe) as error:
        fail(str(error), WRONG_USE)
    old = (
        f"tokens of the old one are good until {keep_old_for} from now" if keep_s else "all tokens made so far are over"
    )
    typer.echo(f"{data_dir / SECRET_FILE} is new; {old}")


def _seconds(text: str) -> int:
    if text == "0":
        return 0
    found = re.fullmatch(r"([1-9]\d{0,8})([smhd])", text)
    seconds = int(found[1]) * _UNITS_S[found[2]] if found else 0
    if not 0 < seconds <= KEEP_DAYS_MAX * _UNITS_S["d"]:
        fail(f"--keep-old-for {text}: a time such as 30m, 1h or 7d, a year at most, or 0", WRONG_USE)
    return seconds
