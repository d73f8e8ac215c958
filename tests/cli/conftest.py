"""One server for the tests of all verbs, and the verbs run within this process."""

import asyncio
import contextlib
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from folkmoot.checker.child import ChildServer
from folkmoot.cli.main import app


class Done(msgspec.Struct, frozen=True):
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def jsons(self) -> list[Any]:
        return [json.loads(line) for line in self.lines]


class Shell(msgspec.Struct, frozen=True):
    """A terminal on which commands are typed, as `user`, to one server. Each makes its own groups."""

    url: str
    data_dir: Path
    user: str = "user-1"

    def run(self, *arguments: str, typed: str | None = None, **variables: str) -> Done:
        """Run a command: `variables` stand in the environment beside the address."""
        with _environment(FOLKMOOT_URL=self.url, FOLKMOOT_DATA_DIR=str(self.data_dir), **variables):
            if typed is not None:
                return _piped(arguments, typed)
            result = CliRunner().invoke(app, list(arguments), input=typed)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Done(result.exit_code, result.stdout, result.stderr)

    def as_user(self, user: str, *arguments: str, typed: str | None = None) -> Done:
        return self.run(*arguments, "--as", user, typed=typed)

    def ok(self, *arguments: str) -> str:
        """What a command says that has to succeed, as `user`."""
        done = self.as_user(self.user, *arguments)
        assert done.status == 0, done.err
        return done.out.strip()


def _piped(arguments: Sequence[str], typed: str) -> Done:
    """In a process of its own: what is typed comes through a real pipe."""
    command = [sys.executable, "-m", "folkmoot.cli", *arguments]
    done = subprocess.run(command, input=typed, capture_output=True, text=True, timeout=30, check=False)
    return Done(done.returncode, done.stdout, done.stderr)


@contextlib.contextmanager
def _environment(**variables: str) -> Iterator[None]:
    before = dict(os.environ)
    # What a server logs to within a test ends with the test.
    handlers, level = list(logging.root.handlers), logging.root.level
    for name in [name for name in os.environ if name.startswith("FOLKMOOT_")]:
        del os.environ[name]
    os.environ.update(variables, NO_COLOR="1", COLUMNS="200")
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        logging.root.handlers[:] = handlers
        logging.root.setLevel(level)


@pytest.fixture(scope="session")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    data_dir = tmp_path_factory.mktemp("cli") / "data"
    child = ChildServer(data_dir)
    with asyncio.Runner() as runner:
        runner.run(child.start())
        yield Shell(child.url, data_dir)
        runner.run(child.stop())
