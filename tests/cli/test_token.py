"""`folkmoot token`: a token that the server takes, and nothing made where there is no secret."""

from pathlib import Path
from typing import TYPE_CHECKING

import jwt

if TYPE_CHECKING:
    from tests.cli.conftest import Shell


def test_a_token_for_a_user_on_a_device(shell: "Shell") -> None:
    done = shell.run("token", "user-1", "--device", "phone", "--lifetime-s", "60")
    secret = (shell.data_dir / "secret.key").read_bytes()
    claims = jwt.decode(done.out.strip(), secret, algorithms=["HS256"])
    assert (claims["sub"], claims["device"]) == ("user-1", "phone")
    assert 59 < claims["exp"] - claims["iat"] <= 60


def test_what_cannot_name_a_user_gets_none(shell: "Shell") -> None:
    for arguments in (("",), ("a b",), ("x" * 129,), ("user-1", "--device", "a b"), ("user-1", "--lifetime-s", "0")):
        done = shell.run("token", *arguments)
        assert (done.status, done.out) == (2, "")


def test_where_no_server_has_run_none_is_made(shell: "Shell", tmp_path: Path) -> None:
    done = shell.run("token", "user-1", "--data-dir", str(tmp_path))
    assert (done.status, done.out) == (2, "")
    assert "start the server there first" in done.err
    assert not list(tmp_path.iterdir())
