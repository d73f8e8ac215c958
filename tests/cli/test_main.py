"""The command itself: its version at once, its verbs, and statuses that scripts can rely on."""

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import folkmoot

if TYPE_CHECKING:
    from tests.cli.conftest import Shell

VERBS = (
    "serve",
    "token",
    "send",
    "tail",
    "chat",
    "history",
    "replay",
    "verify",
    "backup",
    "restore",
    "doctor",
    "config",
    "group",
)


def test_the_version_is_said(shell: "Shell") -> None:
    assert shell.run("--version").out == f"folkmoot {folkmoot.__version__}\n"


def test_every_verb_is_there_and_says_what_it_does(shell: "Shell") -> None:
    shown = shell.run("--help").out
    for verb in VERBS:
        assert verb in shown
        assert shell.run(verb, "--help").status == 0


def test_what_is_no_verb_is_wrong_use(shell: "Shell") -> None:
    assert shell.run("nonsense").status == 2
    assert shell.run("send").status == 2
    assert shell.run("send", "--nonsense").status == 2


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    heavy = "{'litestar', 'uvicorn', 'uvloop', 'apsw', 'jwt', 'cryptography', 'picows', 'prometheus_client', 'asyncio'}"
    script = f"import sys; import folkmoot.cli.main; print(sorted({heavy} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "['asyncio']\n"


def test_as_a_module_it_is_the_same_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "folkmoot.cli", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"folkmoot {folkmoot.__version__}\n"


@pytest.mark.parametrize(
    ("typed", "at", "offered"), [("folkmoot re", 1, "restore"), ("folkmoot backup --wi", 2, "--with")]
)
def test_shells_can_complete_what_is_typed(typed: str, at: int, offered: str) -> None:
    variables = {"_FOLKMOOT_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(at)}
    command = [sys.executable, "-c", "import sys; sys.argv[0] = 'folkmoot'; from folkmoot.cli.main import main; main()"]
    done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=False)
    assert offered in done.stdout, done.stderr
