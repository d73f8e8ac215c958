"""`folkmoot serve`: one process on one file, and what to type next."""

import asyncio
import contextlib
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from folkmoot.cli.chosen import pairs
from folkmoot.cli.connect import NOT_DONE, URL_DEFAULT, WRONG_USE, fail

if TYPE_CHECKING:
    from folkmoot.node.config import Settings


def serve(
    host: Annotated[str | None, typer.Option(help="The address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="The port; 0 takes a free one.")] = None,
    data_dir: Annotated[str | None, typer.Option(help="Where the store and the secret are.")] = None,
    tls_cert: Annotated[str | None, typer.Option(metavar="FILE", help="A certificate: speak TLS.")] = None,
    tls_key: Annotated[str | None, typer.Option(metavar="FILE", help="The certificate's key.")] = None,
    workers: Annotated[
        int, typer.Option(min=0, max=64, help="Gateways in so many processes, and routing in one; needs [nats].")
    ] = 0,
    roles: Annotated[str | None, typer.Option(help="What this process is: gateway, router, delivery.")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
    log_json: Annotated[bool | None, typer.Option("--log-json/--log-text", help="One JSON object a line.")] = None,
    config: Annotated[Path | None, typer.Option(envvar="FOLKMOOT_CONFIG", help="A TOML file of settings.")] = None,
    setting: Annotated[list[str] | None, typer.Option("--set", help="Any other setting: NAME=VALUE.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help='Say {"ready": URL} once, and nothing to people.')] = False,
    stop_with_stdin: Annotated[
        bool, typer.Option("--stop-with-stdin", help="Stop when standard input ends: never outlive a parent process.")
    ] = False,
) -> None:
    """Serve until SIGTERM or Ctrl-C; then drain. SIGHUP reads the settings again."""
    from folkmoot.node.config import SettingsError, load_settings

    flags: dict[str, object] = {"host": host, "port": port, "data_dir": data_dir, "log_level": log_level}
    flags["roles"] = roles
    flags |= {"tls_cert_file": tls_cert, "tls_key_file": tls_key, "log_json": log_json} | pairs(setting or [])

    def reread() -> "Settings":
        return load_settings(flags, os.environ, config)

    try:
        settings = reread()
    except SettingsError as error:
        fail(str(error), WRONG_USE)

    def ready(url: str) -> None:
        typer.echo(json.dumps({"ready": url}) if as_json else _welcome(url, settings))

    async def work() -> None:
        stop = asyncio.Event()
        if stop_with_stdin:
            _stop_with_stdin(stop)
        if workers:
            await _on_workers(workers, settings, flags, config, stop, ready)
        else:
            from folkmoot.node.lifecycle import serve as run

            await run(settings, on_ready=ready, stop=stop, reread=reread)

    _serve(settings, work, as_json=as_json)


async def _on_workers(
    count: int,
    settings: "Settings",
    flags: dict[str, object],
    config: Path | None,
    stop: asyncio.Event,
    ready: "Callable[[str], None]",
) -> None:
    from folkmoot.node.children import ChildFailed
    from folkmoot.node.workers import Workers
    from folkmoot.ports.clock import SystemClock

    environment = dict(os.environ) | ({"FOLKMOOT_CONFIG": str(config)} if config is not None else {})
    try:
        await Workers(count, settings, flags, SystemClock(), environment).serve(stop, ready)
    except ChildFailed as error:
        fail(f"{error}: what it said stands above", NOT_DONE)


def _serve(settings: "Settings", work: "Callable[[], Coroutine[object, object, None]]", *, as_json: bool) -> None:
    from folkmoot.backends.sqlite.store import StoreInUse
    from folkmoot.gateway.identity import SecretUnsafe
    from folkmoot.node.config import SettingsError
    from folkmoot.ports.store import SchemaUnknown, StoreAway, StoreBroken
    from folkmoot.ports.transfer import StoreSealed
    from folkmoot.telemetry.logs import configure

    configure(level=settings.log_level, as_json=settings.log_json or as_json)
    try:
        _run_on_uvloop(work())
    except (StoreInUse, SchemaUnknown, StoreBroken, StoreSealed, SecretUnsafe) as error:
        fail(f"{settings.data_dir}: {error}", NOT_DONE)
    except SettingsError as error:
        fail(str(error), WRONG_USE)
    except StoreAway as error:
        fail(str(error), NOT_DONE)
    except OSError as error:
        fail(f"cannot serve on {settings.host}:{settings.port} from {settings.data_dir}: {error}", NOT_DONE)


def _stop_with_stdin(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()

    def read() -> None:
        # Past Python's own buffer: its lock, held here at the end of the process, would break that end.
        with contextlib.suppress(OSError):
            while os.read(sys.stdin.fileno(), 4_096):
                pass
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=read, daemon=True).start()


def _run_on_uvloop(work: "Coroutine[object, object, None]") -> None:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)


def _welcome(url: str, settings: "Settings") -> str:
    from folkmoot.gateway.identity import mint, secret_of

    secret, now_ms = secret_of(Path(settings.data_dir)), time.time_ns() // 1_000_000
    tokens = {u: mint(secret, u, lifetime_s=settings.token_lifetime_s, now_ms=now_ms) for u in ("user-1", "user-2")}
    command = _command()
    where = "" if url == URL_DEFAULT else f"  export FOLKMOOT_URL={url}\n"
    return f"""
Folkmoot is ready at {url}

In a second terminal, as user-1:

{where}  export FOLKMOOT_TOKEN={tokens["user-1"]}
  {command} group create "tea room" --member user-2 --id tea-room
  {command} chat "tea room"

In a third, as user-2:

{where}  export FOLKMOOT_TOKEN={tokens["user-2"]}
  {command} chat "tea room"

Ctrl-C here stops the server.
"""


def _command() -> str:
    """How this program is called from here."""
    if shutil.which("folkmoot"):
        return "folkmoot"
    called = Path(sys.argv[0])
    return (
        os.path.relpath(called) if called.name == "folkmoot" else f"{os.path.relpath(sys.executable)} -m folkmoot.cli"
    )
