"""`folkmoot users`: shown, shut out, let in again and signed out, against a real server."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cli.conftest import Shell


def test_a_user_is_shut_out_and_let_in_again(shell: "Shell") -> None:
    user = "user-4"
    assert shell.run("users", "deactivate", user).out == "user-4 is deactivated\n"
    assert shell.run("users", "show", user, "--json").json["active"] is False
    assert ["active", "no"] in [line.split() for line in shell.run("users", "show", user).lines]
    assert user in [row["user"] for row in shell.run("users", "list", "--json").jsons]
    assert user in shell.run("users", "list").out
    done = shell.as_user(user, "group", "list")
    assert (done.status, "deactivated" in done.err) == (1, True)
    assert shell.run("users", "reactivate", user).out == "user-4 is active\n"
    assert shell.run("users", "show", user, "--json").json["active"] is True
    assert shell.as_user(user, "group", "list").status == 0


def test_tokens_made_before_a_sign_out_are_over(shell: "Shell") -> None:
    phone = shell.run("token", "user-5", "--device", "phone").out.strip()
    tablet = shell.run("token", "user-5", "--device", "tablet").out.strip()
    assert shell.run("users", "sign-out", "user-5", "--device", "phone").out == "user-5 is signed out on phone\n"
    done = shell.run("group", "list", FOLKMOOT_TOKEN=phone)
    assert (done.status, "signed_out" in done.err) == (1, True)
    assert shell.run("group", "list", FOLKMOOT_TOKEN=tablet).status == 0
    assert shell.run("users", "sign-out", "user-5").out == "user-5 is signed out everywhere\n"
    assert shell.run("group", "list", FOLKMOOT_TOKEN=tablet).status == 1
    assert shell.as_user("user-5", "group", "list").status == 0


def test_of_whom_nothing_is_known_nothing_is_shown(shell: "Shell") -> None:
    done = shell.run("users", "show", "nobody")
    assert (done.status, "no_such_user" in done.err) == (1, True)
    done = shell.run("users", "deactivate", "not a name")
    assert (done.status, "no_such_user" in done.err) == (1, True)
