"""`folkmoot key`: made, listed, revoked, against a real server."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cli.conftest import Shell


def test_a_key_is_shown_once_and_works_until_it_is_revoked(shell: "Shell") -> None:
    done = shell.run("key", "create", "shop [1]", "--scope", "keys", "--scope", "users", "--requests-per-s", "7.5")
    key = done.out.strip()
    key_id = key.split("_")[1]
    assert done.status == 0
    assert key_id in done.err
    assert key not in done.err
    rows = shell.run("key", "list", "--json", FOLKMOOT_API_KEY=key).jsons
    (row,) = [row for row in rows if row["id"] == key_id]
    assert (row["name"], row["scopes"], row["requests_per_s"], row["revoked_ms"]) == (
        "shop [1]",
        ["users", "keys"],
        7.5,
        None,
    )
    table = shell.run("key", "list")
    assert "shop [1]" in table.out
    assert key not in table.out
    assert shell.run("key", "revoke", key_id, "--key", key).out == f"{key_id} is revoked\n"
    done = shell.run("key", "list", "--key", key)
    assert (done.status, "key_revoked" in done.err) == (1, True)
    (row,) = [row for row in shell.run("key", "list", "--json").jsons if row["id"] == key_id]
    assert row["revoked_ms"] is not None


def test_a_script_gets_all_of_it(shell: "Shell") -> None:
    made = shell.run("key", "create", "job", "--scope", "metrics", "--json").json
    assert made["key"].startswith(f"fmk_{made['id']}_")
    assert made["scopes"] == ["metrics"]


def test_what_makes_no_sense_is_refused(shell: "Shell") -> None:
    done = shell.run("key", "create", "shop", "--scope", "everything")
    assert (done.status, "one of read, write" in done.err) == (2, True)
    assert shell.run("key", "create", "shop").status == 2
    done = shell.run("key", "create", "x" * 200, "--scope", "read")
    assert (done.status, "bad_request" in done.err) == (1, True)
    done = shell.run("key", "revoke", "nothing")
    assert (done.status, "no_such_key" in done.err) == (1, True)


def test_a_key_gives_no_more_than_it_has(shell: "Shell") -> None:
    key = shell.run("key", "create", "maker", "--scope", "keys").out.strip()
    done = shell.run("key", "create", "more", "--scope", "read", "--key", key)
    assert (done.status, "not_allowed" in done.err) == (1, True)
