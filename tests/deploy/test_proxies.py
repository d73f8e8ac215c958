"""What nginx and Caddy are told of sizes and times, beside what the server does; with or without the programs."""

import inspect
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import uvicorn

from folkmoot.gateway import listener
from folkmoot.gateway.app import BODY_BYTES_MAX
from folkmoot.node.config import Settings

DEPLOY = Path(__file__).parents[2] / "deploy"
NGINX = DEPLOY / "nginx" / "folkmoot.conf"
CADDY = DEPLOY / "caddy" / "Caddyfile"
# As each of them reads a number's unit.
OF_NGINX = {"": 1, "k": 1_024, "m": 1_048_576}
OF_CADDY = {"B": 1, "KB": 1_000, "KiB": 1_024, "MB": 1_000_000, "MiB": 1_048_576}


def told(path: Path, setting: str) -> tuple[int, str]:
    """The one value that a proxy's file gives a setting, as number and unit."""
    ((number, unit),) = re.findall(rf"^\s*{setting} (\d+)(\w*);?$", path.read_text(), re.MULTILINE)
    return int(number), unit


def idle_s_max() -> float:
    """After how long without a request the server closes a connection of HTTP: uvicorn's own time, which it is left."""
    assert "timeout_keep_alive" not in inspect.getsource(listener)
    return float(inspect.signature(uvicorn.Config).parameters["timeout_keep_alive"].default)


def test_proxies_pass_on_bodies_as_long_as_the_server_takes_and_no_longer() -> None:
    number, unit = told(NGINX, "client_max_body_size")
    assert number * OF_NGINX[unit] == BODY_BYTES_MAX
    number, unit = told(CADDY, "max_size")
    assert number * OF_CADDY[unit] == BODY_BYTES_MAX


def test_proxies_close_an_idle_connection_before_the_server_does() -> None:
    # Else a request meets it closing, and the client is answered 502 for what the server never saw.
    assert told(NGINX, "keepalive_timeout") == (4, "s")
    assert told(CADDY, "keepalive") == told(DEPLOY / "compose" / "Caddyfile", "keepalive") == (4, "s")
    assert idle_s_max() > 4


def test_nginx_waits_longer_than_a_connection_is_ever_silent() -> None:
    for setting in ("proxy_read_timeout", "proxy_send_timeout"):
        number, unit = told(NGINX, setting)
        assert unit == "s"
        assert number > 2 * Settings().ping_interval_s


def test_caddy_reads_the_sizes_and_times_as_they_are_meant() -> None:
    caddy = shutil.which("caddy")
    if caddy is None:
        pytest.skip("no caddy here: its file was looked at, and not read by it")
    done = subprocess.run([caddy, "adapt", "--config", CADDY], check=True, capture_output=True, text=True)
    routes = json.dumps(json.loads(done.stdout))
    assert re.findall(r'"max_size": (\d+)', routes) == [str(BODY_BYTES_MAX)]
    assert re.findall(r'"idle_timeout": (\d+)', routes) == ["4000000000"]
