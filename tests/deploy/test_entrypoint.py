"""The image's entrypoint: what it makes of secrets that others can read, and what it leaves to the program."""

import subprocess
from pathlib import Path

import pytest

from folkmoot.backends.nats.credentials import BusUnusable, read_credentials

ENTRYPOINT = Path(__file__).parents[2] / "deploy" / "image" / "entrypoint.sh"


class Container:
    """The entrypoint with a data directory of its own, and a program that says what it was given."""

    def __init__(self, folder: Path) -> None:
        self.given, self.data = folder / "given", folder / "data"
        self.data.mkdir()
        self._programs = folder / "bin"
        self._programs.mkdir()
        program = self._programs / "folkmoot"
        program.write_text('#!/bin/sh\necho "$@"\nenv | grep ^FOLKMOOT_ | sort\n')
        program.chmod(0o755)

    def give(self, content: str, mode: int) -> None:
        self.given.unlink(missing_ok=True)
        self.given.write_text(content)
        self.given.chmod(mode)

    def start(self, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", ENTRYPOINT, "serve", "--log-json"],
            env={"PATH": f"{self._programs}:/usr/bin:/bin", "FOLKMOOT_DATA_DIR": str(self.data)} | variables,
            capture_output=True, text=True, check=False,
        )  # fmt: skip


@pytest.fixture
def container(tmp_path: Path) -> Container:
    return Container(tmp_path)


def test_the_entrypoint_takes_a_secret_from_a_file_and_nobody_else_can_read_its_copy(container: Container) -> None:
    container.give("s" * 48, 0o444)
    for _ in range(2):  # A container that is started again finds its own copy.
        done = container.start(FOLKMOOT_TOKEN_SECRET_FILE=str(container.given))
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == f"serve --log-json\nFOLKMOOT_DATA_DIR={container.data}\n"
    assert (container.data / "secret.key").read_text() == "s" * 48
    assert (container.data / "secret.key").stat().st_mode & 0o777 == 0o600


def test_a_secret_that_was_named_and_is_not_there_is_no_reason_to_make_another(container: Container) -> None:
    done = container.start(FOLKMOOT_TOKEN_SECRET_FILE=str(container.given))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"FOLKMOOT_TOKEN_SECRET_FILE: {container.given} cannot be read\n"
    assert container.start().returncode == 0  # None was named: tokens may be of other keys.


def test_credentials_that_a_group_can_read_are_given_to_the_program_as_a_copy_that_it_takes(
    container: Container,
) -> None:
    # As Kubernetes mounts a Secret where there is an fsGroup.
    for content in ("folkmoot:first", "folkmoot:second"):
        container.give(content, 0o440)
        with pytest.raises(BusUnusable, match="others can read"):
            read_credentials(str(container.given))
        done = container.start(FOLKMOOT_NATS_CREDENTIALS_FILE=str(container.given))
        assert (done.returncode, done.stderr) == (0, "")
        copy = container.data / "nats.credentials"
        assert f"\nFOLKMOOT_NATS_CREDENTIALS_FILE={copy}\n" in done.stdout
        assert copy.stat().st_mode & 0o777 == 0o600
        user, _, password = content.partition(":")
        assert read_credentials(str(copy)).options == {"user": user, "password": password}


def test_credentials_that_need_no_copy_or_cannot_be_had_are_left_where_they_are(container: Container) -> None:
    container.give("folkmoot:secret", 0o600)
    for given in (container.given, container.data / "nowhere", container.data):
        done = container.start(FOLKMOOT_NATS_CREDENTIALS_FILE=str(given))
        assert (done.returncode, done.stderr) == (0, "")
        assert f"\nFOLKMOOT_NATS_CREDENTIALS_FILE={given}\n" in done.stdout
    assert list(container.data.iterdir()) == []
