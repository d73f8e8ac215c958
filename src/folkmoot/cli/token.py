"""`folkmoot token`: a token for a user, made with the server's secret."""

import time
from pathlib import Path
from typing import Annotated

import typer

from folkmoot.cli.connect import WRONG_USE, DataDir, fail


def token(
    user: Annotated[str, typer.Argument(help="The user it is for.")],
    device: Annotated[str, typer.Option(help="The device it is for.")] = "",
    lifetime_s: Annotated[
        int, typer.Option("--lifetime-s", min=1, help="How long it is good for, in seconds.")
    ] = 604_800,
    data_dir: DataDir = Path("data"),
) -> None:
    """Make a token, on the machine that has the server's secret."""
    from folkmoot.gateway.identity import SECRET_FILE, SecretUnsafe, mint, secret_of
    from folkmoot.model.ids import is_name

    if not is_name(user) or (device and not is_name(device)):
        fail("a name has 1 to 128 printable characters and no space", WRONG_USE)
    if not (data_dir / SECRET_FILE).exists():
        fail(
            f"{data_dir} has no secret: start the server there first (folkmoot serve --data-dir {data_dir})", WRONG_USE
        )
    try:
        secret = secret_of(data_dir)
    except (OSError, SecretUnsafe) as error:
        fail(str(error), WRONG_USE)
    typer.echo(mint(secret, user, device=device, lifetime_s=lifetime_s, now_ms=time.time_ns() // 1_000_000))
