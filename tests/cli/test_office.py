"""What an operator's verbs share: by what right one asks, and what is said where that is none."""

import asyncio
import http.server
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trustme
from typer.testing import CliRunner

from folkmoot.cli.main import app
from folkmoot.cli.office import as_time
from folkmoot.testing.served import served

if TYPE_CHECKING:
    from tests.cli.conftest import Shell


def test_whoever_has_neither_secret_nor_key_is_told_what_to_bring(shell: "Shell", tmp_path: Path) -> None:
    done = shell.run("users", "list", "--data-dir", str(tmp_path))
    assert (done.status, "FOLKMOOT_API_KEY" in done.err) == (2, True)


def test_a_secret_of_another_server_is_no_right_here(shell: "Shell", tmp_path: Path) -> None:
    (tmp_path / "secret.key").touch(0o600)
    (tmp_path / "secret.key").write_text("another server's secret, long enough")
    done = shell.run("users", "list", "--data-dir", str(tmp_path))
    assert (done.status, "token_invalid" in done.err) == (1, True)


def test_a_key_counts_before_the_secret_and_no_further_than_its_scopes(shell: "Shell") -> None:
    key = shell.run("key", "create", "reader", "--scope", "read").out.strip()
    done = shell.run("users", "list", FOLKMOOT_API_KEY=key)
    assert (done.status, done.err) == (1, "folkmoot: not_allowed: this API key lacks the scope 'users'\n")
    done = shell.run("users", "list", "--key", "fmk_x_y")
    assert (done.status, "token_invalid" in done.err) == (1, True)


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("ftp://127.0.0.1", 2),
        ("nonsense", 2),
        ("http://user:hush@127.0.0.1:1", 2),
        ("http://127.0.0.1:1", 3),
        ("http://127.0.0.1:1?key=hush", 2),
    ],
)
def test_a_wrong_address_is_said_to_be_one(shell: "Shell", url: str, status: int) -> None:
    done = shell.run("users", "list", "--url", url)
    assert (done.status, done.out) == (status, "")
    assert url.split("?")[0][:10] in done.err


def test_whatever_answers_but_is_no_such_server_is_named_so_and_gets_no_second_request(shell: "Shell") -> None:
    asked: list[str] = []

    class Elsewhere(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(302)
            self.send_header("Location", "/elsewhere")
            self.end_headers()
            self.wfile.write(b"<p>moved</p>")

        def log_message(self, *_: object) -> None: ...

    with http.server.HTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        done = shell.run("users", "list", "--url", f"http://127.0.0.1:{server.server_port}/chat/")
        server.shutdown()
        thread.join()
    assert (done.status, "Folkmoot" in done.err) == (1, True)
    assert asked == ["/chat/v1/users?after=&limit=500"]


def test_a_certificate_of_ones_own_authority_is_named(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    pem = str(tmp_path / "server.pem")

    async def run() -> None:
        async with served(tmp_path / "data", tls_cert_file=pem, tls_key_file=pem) as server:
            verb = ["users", "list", "--json", "--url", server.url, "--data-dir", str(tmp_path / "data")]
            done = await asyncio.to_thread(CliRunner().invoke, app, [*verb, "--ca-file", str(tmp_path / "ca.pem")])
            assert (done.exit_code, done.stderr) == (0, "")
            done = await asyncio.to_thread(CliRunner().invoke, app, verb)
            assert (done.exit_code, "certificate" in done.stderr) == (3, True)
            done = await asyncio.to_thread(CliRunner().invoke, app, [*verb, "--ca-file", str(tmp_path / "none.pem")])
            assert done.exit_code == 2

    asyncio.run(run())


def test_times_are_for_people() -> None:
    assert (as_time(None), as_time(0), as_time(1_800_000_000_999)) == ("", "", "2027-01-15 08:00:00Z")
