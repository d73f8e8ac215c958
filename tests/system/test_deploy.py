"""The files of deploy/ that put the server in front of users: they are tried with the real programs where these are.

nginx and caddy are looked for in PATH. Without them their tests are skipped, and say so.
"""

import asyncio
import configparser
import contextlib
import shlex
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trustme
import typer

from folkmoot.cli.main import app
from folkmoot.client import Client
from folkmoot.testing.rude_client import RudeClient, upgrade_request
from folkmoot.testing.served import Served, served

DEPLOY = Path(__file__).parents[2] / "deploy"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


class Proxy:
    """The files that a proxy is started with, in a folder, and where it is to listen."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.authority = trustme.CA()
        issued = self.authority.issue_cert("localhost")
        self.cert, self.key, self.ca = folder / "cert.pem", folder / "key.pem", folder / "ca.pem"
        issued.cert_chain_pems[0].write_to_path(self.cert)
        issued.private_key_pem.write_to_path(self.key)
        self.authority.cert_pem.write_to_path(self.ca)

    def nginx(self, server: Served) -> list[str]:
        """Write the file as it is shipped, but for names and ports, and how to start it as oneself."""
        config = (DEPLOY / "nginx" / "folkmoot.conf").read_text()
        for shipped, here in (
            ("127.0.0.1:8420", f"127.0.0.1:{server.port}"),
            ("listen 443 ssl", f"listen 127.0.0.1:{self.port} ssl"),
            ("server_name chat.example", "server_name localhost"),
            ("/etc/nginx/tls/chat.example.pem", str(self.cert)),
            ("/etc/nginx/tls/chat.example.key", str(self.key)),
        ):
            assert shipped in config
            config = config.replace(shipped, here)
        places = "\n".join(
            f"{kind}_temp_path {self.folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        whole = f"pid {self.folder}/pid;\ndaemon off;\nevents {{}}\nhttp {{\naccess_log off;\n{places}\n{config}\n}}\n"
        (self.folder / "nginx.conf").write_text(whole)
        return ["nginx", "-c", str(self.folder / "nginx.conf"), "-e", "stderr", "-g", "master_process off;"]

    def caddy(self, server: Served) -> list[str]:
        config = (DEPLOY / "caddy" / "Caddyfile").read_text()
        assert "\nchat.example {" in config
        assert "127.0.0.1:8420" in config
        config = config.replace("127.0.0.1:8420", f"127.0.0.1:{server.port}")
        # A certificate of this test's own, where Caddy would ask an authority for one.
        site = f"\nhttps://localhost:{self.port} {{\n\tbind 127.0.0.1\n\ttls {self.cert} {self.key}"
        config = config.replace("\nchat.example {", site)
        settings = "{\n\tadmin off\n\tauto_https disable_redirects\n}\n"
        (self.folder / "Caddyfile").write_text(settings + config)
        return ["caddy", "run", "--config", str(self.folder / "Caddyfile"), "--adapter", "caddyfile"]

    @contextlib.asynccontextmanager
    async def running(self, command: list[str]) -> AsyncIterator[None]:
        environment = {"HOME": str(self.folder), "PATH": "/usr/bin:/bin"}
        with (self.folder / "log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                shutil.which(command[0]) or "", *command[1:], stdout=log, stderr=log, env=environment
            )
        try:
            async with asyncio.timeout(20):
                while not await self._answers():
                    assert process.returncode is None, (self.folder / "log").read_text()
            yield
        finally:
            process.terminate()
            await process.wait()

    async def _answers(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        writer.close()
        return True

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[RudeClient]:
        trusting = ssl.create_default_context(cafile=self.ca)
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=trusting, server_hostname="localhost"
        )
        try:
            yield RudeClient(reader, writer)
        finally:
            writer.transport.abort()


@pytest.mark.parametrize("program", ["nginx", "caddy"])
def test_behind_a_proxy_messages_go_round_and_pages_of_its_host_connect(tmp_path: Path, program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"no {program} here: its file in deploy/ was not tried")

    async def body() -> None:
        proxy = Proxy(tmp_path)
        async with served(tmp_path / "data", trusted_proxies="127.0.0.1") as server:
            command = proxy.nginx(server) if program == "nginx" else proxy.caddy(server)
            async with proxy.running(command):
                url = f"https://localhost:{proxy.port}"
                async with Client(url, server.token("user-1"), ca_file=proxy.ca) as client:
                    group = await client.create_group("tea room")
                    sent = await client.send(group, "by a proxy")
                    async for entry in client:
                        if entry.seq == sent:
                            break
                async with proxy.connected() as rude:
                    rude.say(f"GET /readyz HTTP/1.1\r\nHost: localhost:{proxy.port}\r\n\r\n".encode())
                    assert (await rude.answer()).status == 200
                for origin, status in ((url, 101), ("http://localhost", 403), ("https://elsewhere.example", 403)):
                    async with proxy.connected() as rude:
                        # What a client writes of itself goes no further than the proxy.
                        lies = [("X-Forwarded-Host", "elsewhere.example"), ("Forwarded", "host=elsewhere.example")]
                        rude.say(upgrade_request(host=f"localhost:{proxy.port}", extra=[*lies, ("Origin", origin)]))
                        assert (await rude.answer()).status == status

    asyncio.run(body())


def test_the_units_command_is_one_and_systemd_takes_the_unit(tmp_path: Path) -> None:
    path = DEPLOY / "systemd" / "folkmoot.service"
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(path)
    program, verb, *arguments = shlex.split(unit["Service"]["ExecStart"])
    whole: Any = typer.main.get_command(app)
    with whole.commands[verb].make_context(verb, arguments) as context:
        assert context.params["config"] == Path("/etc/folkmoot/folkmoot.toml")
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd-analyze here: the unit was not tried")
    # With a program that is there, and without the user, which is made when it is installed.
    text = path.read_text().replace(program, "/bin/true").replace("User=folkmoot\n", "")
    (tmp_path / path.name).write_text(text)
    done = subprocess.run([analyze, "verify", "--man=no", tmp_path / path.name], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
