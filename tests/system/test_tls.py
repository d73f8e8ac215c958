"""TLS from the command line to the client: one file of an authority, and a whole way of a message over it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import trustme
from typer.testing import CliRunner

from folkmoot.cli.main import app
from folkmoot.client import Client, NotConnected
from folkmoot.testing.served import served


def issued(folder: Path) -> dict[str, Any]:
    """The settings of a server, and beside them `ca.pem`."""
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    certificate.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    return {"tls_cert_file": str(folder / "cert.pem"), "tls_key_file": str(folder / "key.pem")}


def test_the_way_of_a_message_over_tls(tmp_path: Path) -> None:
    settings = issued(tmp_path)

    async def body() -> None:
        async with served(tmp_path / "data", **settings) as server:
            assert server.url.startswith("https://")
            async with Client(server.url, server.token("user-1"), ca_file=tmp_path / "ca.pem") as client:
                group = await client.create_group("tea room", members=["user-2"])
                sent = await client.send(group, "by TLS")
            environment = {
                "FOLKMOOT_URL": server.url,
                "FOLKMOOT_TOKEN": server.token("user-2"),
                "FOLKMOOT_CA_FILE": str(tmp_path / "ca.pem"),
            }
            done = await asyncio.to_thread(CliRunner().invoke, app, ["history", group], env=environment)
            assert "by TLS" in done.stdout, done.stderr
            del environment["FOLKMOOT_CA_FILE"]
            command = ["history", group, "--ca-file", str(tmp_path / "ca.pem")]
            done = await asyncio.to_thread(CliRunner().invoke, app, command, env=environment)
            assert "by TLS" in done.stdout, done.stderr
            assert sent > 0

    asyncio.run(body())


def test_a_certificate_that_is_not_trusted_is_said_so(tmp_path: Path) -> None:
    settings = issued(tmp_path)
    (tmp_path / "other").mkdir()
    issued(tmp_path / "other")

    async def body() -> None:
        async with served(tmp_path / "data", **settings) as server:
            for ca_file in ("", tmp_path / "other" / "ca.pem"):
                with pytest.raises(NotConnected, match=r"not trusted here.*ca_file"):
                    async with Client(server.url, server.token("user-1"), ca_file=ca_file, connect_s_max=0.5):
                        pass
            done = await asyncio.to_thread(
                CliRunner().invoke,
                app,
                ["group", "list", "--ca-file", str(tmp_path / "none")],
                env={"FOLKMOOT_URL": server.url, "FOLKMOOT_TOKEN": "x"},
            )
            assert (done.exit_code, "no certificate of an authority" in done.stderr) == (2, True)

    asyncio.run(body())


@pytest.mark.parametrize("missing", ["tls_cert_file", "tls_key_file"])
def test_one_file_without_the_other_names_the_setting(tmp_path: Path, missing: str) -> None:
    settings = issued(tmp_path)
    option = "--tls-key" if missing == "tls_cert_file" else "--tls-cert"
    value = settings["tls_key_file" if missing == "tls_cert_file" else "tls_cert_file"]
    done = CliRunner().invoke(app, ["serve", "--data-dir", str(tmp_path / "data"), option, value])
    assert (done.exit_code, missing in done.stderr) == (2, True)
    assert not (tmp_path / "data").exists()


def test_a_file_that_is_none_names_the_setting(tmp_path: Path) -> None:
    settings = issued(tmp_path)
    command = ["serve", "--data-dir", str(tmp_path / "data"), "--tls-cert", settings["tls_cert_file"]]
    done = CliRunner().invoke(app, [*command, "--tls-key", str(tmp_path / "none.pem")])
    assert (done.exit_code, "tls_key_file" in done.stderr) == (2, True)
