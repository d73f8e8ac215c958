"""What verbs share: where the server is, who asks, and one clear line with a status for each way to fail."""

import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from folkmoot.cli import connect

if TYPE_CHECKING:
    from tests.cli.conftest import Shell


def test_a_token_is_given_in_the_environment_or_in_a_file_or_made_on_the_spot(shell: "Shell", tmp_path: Path) -> None:
    token = shell.run("token", "connector").out.strip()
    path = tmp_path / "token"
    path.write_text(token + "\n")
    group = shell.as_user("connector", "group", "create", "connect one").out.strip()
    assert shell.run("send", group, "hello", FOLKMOOT_TOKEN=token).out == "2\n"
    assert shell.run("send", group, "hello", "--token", token).out == "3\n"
    assert shell.run("send", group, "hello", "--token-file", str(path)).out == "4\n"
    assert shell.run("send", group, "hello", FOLKMOOT_TOKEN_FILE=str(path)).out == "5\n"
    assert shell.run("send", group, "hello", "--as", "connector").out == "6\n"


def test_without_one_it_is_said_how_to_get_one(shell: "Shell") -> None:
    done = shell.run("group", "list")
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("folkmoot: who are you? Set FOLKMOOT_TOKEN")


def test_a_token_file_or_secret_that_is_not_there_is_wrong_use(shell: "Shell", tmp_path: Path) -> None:
    done = shell.run("group", "list", "--token-file", str(tmp_path / "nothing"))
    assert (done.status, done.err) == (2, f"folkmoot: {tmp_path / 'nothing'}: No such file or directory\n")
    done = shell.run("group", "list", "--as", "user-1", "--data-dir", str(tmp_path))
    assert done.status == 2
    assert "--as needs the server's secret" in done.err
    assert not list(tmp_path.iterdir())


def test_a_secret_that_others_can_read_is_not_used(shell: "Shell", tmp_path: Path) -> None:
    secret = tmp_path / "secret.key"
    secret.write_bytes(b"x" * 48)
    secret.chmod(0o644)
    done = shell.run("group", "list", "--as", "user-1", "--data-dir", str(tmp_path))
    assert done.status == 2
    assert "chmod 600" in done.err


def test_a_token_that_is_none_is_refused(shell: "Shell") -> None:
    done = shell.run("group", "list", "--token", "nonsense")
    assert done.status == 1
    assert done.err.startswith(f"folkmoot: {shell.url} ended the connection: token_invalid: ")
    assert len(done.err.splitlines()) == 1


def test_an_address_that_is_none_is_wrong_use(shell: "Shell") -> None:
    done = shell.run("group", "list", "--as", "user-1", "--url", "nonsense")
    assert (done.status, done.err) == (2, "folkmoot: 'nonsense' is not the address of a server: http://host:port\n")
    done = shell.run("group", "list", "--as", "user-1", "--url", f"{shell.url}?token=x")
    assert done.status == 2
    assert "no tokens in an address" in done.err


def test_a_server_that_is_not_there_cannot_be_reached(shell: "Shell", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connect, "CONNECT_S_MAX", 0.3)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        done = shell.run("group", "list", "--as", "user-1", "--url", url)
    assert (done.status, done.out) == (3, "")
    assert done.err.startswith(f"folkmoot: cannot reach {url}: ")
    assert len(done.err.splitlines()) == 1


def test_a_name_that_two_groups_have_needs_an_id(shell: "Shell") -> None:
    groups = [shell.as_user("twice", "group", "create", "same name").out.strip() for _ in range(2)]
    done = shell.as_user("twice", "send", "same name", "hello")
    assert (done.status, done.err) == (
        1, "folkmoot: 2 of your groups fit: give an id (folkmoot group list)\n"
    )  # fmt: skip
    assert shell.as_user("twice", "send", groups[1], "hello").out == "2\n"


def test_my_only_group_needs_no_name(shell: "Shell") -> None:
    done = shell.as_user("lonely", "chat", typed="")
    assert (done.status, done.err) == (1, "folkmoot: you are in no group: folkmoot group create NAME\n")
    shell.as_user("lonely", "group", "create", "mine")
    assert "made the group 'mine'" in shell.as_user("lonely", "chat", typed="").out
