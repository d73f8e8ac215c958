"""`folkmoot config show`: every setting with its value, where it came from and why; never a secret."""

from typing import TYPE_CHECKING

import pytest

from folkmoot.cli.config import HIDDEN, shown
from folkmoot.node.config import Settings

if TYPE_CHECKING:
    from tests.cli.conftest import Shell


def test_every_setting_is_shown_with_where_it_came_from(shell: "Shell") -> None:
    done = shell.run("config", "show", "--port", "7", "--set", "members_max=9", "--json")
    rows = {row["setting"]: row for row in done.json}
    assert rows.keys() == set(Settings.__struct_fields__)
    assert (rows["port"]["value"], rows["port"]["from"]) == (7, "--port")
    assert (rows["members_max"]["value"], rows["members_max"]["from"]) == (9, "--members-max")
    assert (rows["data_dir"]["value"], rows["data_dir"]["from"]) == (str(shell.data_dir), "FOLKMOOT_DATA_DIR")
    assert (rows["host"]["value"], rows["host"]["from"]) == ("127.0.0.1", "default")
    assert all(row["reason"] for row in rows.values())
    assert (rows["members_max"]["live"], rows["port"]["live"]) == (True, False)


def test_for_people_and_only_what_was_changed(shell: "Shell") -> None:
    done = shell.run("config", "show", "--changed", "--port", "7")
    assert "port = 7  (--port)" in done.lines
    assert f"data_dir = {shell.data_dir}  (FOLKMOOT_DATA_DIR)" in done.lines
    assert "host" not in done.out
    done = shell.run("config", "show")
    assert 'allowed_origins = ""  (default)' in done.lines
    assert "log_json = false  (default)" in done.lines


def test_a_wrong_setting_is_said(shell: "Shell") -> None:
    done = shell.run("config", "show", "--set", "nothing=1")
    assert (done.status, done.out) == (2, "")
    assert "there is no such setting" in done.err


@pytest.mark.parametrize(
    ("name", "value", "seen"),
    [
        ("smtp_password", "hunter2", HIDDEN),
        ("push_secret", "x", HIDDEN),
        ("push_secret", "", ""),
        ("token_jwks_url", "https://ann:pw@keys.example/x", f"https://{HIDDEN}@keys.example/x"),
        ("token_jwks_url", "https://keys.example/a@b", "https://keys.example/a@b"),
        ("token_public_key_file", "key.pem", "key.pem"),
        ("port", 7, 7),
    ],
)
def test_secrets_are_not_shown(name: str, value: object, seen: object) -> None:
    assert shown(name, value) == seen
