"""Other servers to measure beside ours: each in a folder of its own that says how it is built and started.

A folder is `bench/peers/<name>` of the source tree; `peer.toml` in it is an `About`. In its commands `{peer}` is that
folder, `{out}` where it is built, `{data}` an empty folder for this run, `{python}` this interpreter. A command that
runs says a line of JSON with `port` and `version` once it listens, and ends with its standard input.
"""

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Final

import msgspec

from folkmoot.bench.process import Child, ChildFailed

BUILD_S_MAX: Final = 600.0
READY_S_MAX: Final = 60.0
LINES_BEFORE_READY_MAX: Final = 100
LAST_WORDS: Final = 800

FOLDER: Final = Path("bench") / "peers"
BUILT: Final = Path("build") / "peers"


class NotThere(Exception):
    """A peer cannot be built or started here; the text says what is missing, or what failed."""


class About(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a peer is, what it keeps and promises, and its commands. `needs`: programs that it is built or run with."""

    about: str
    stores: str
    promises: str
    dialect: str
    needs: list[str]
    build: list[list[str]]
    run: list[str]


class Said(msgspec.Struct):
    """What a peer says once it listens."""

    port: int
    version: str


def peers_in(folder: Path) -> dict[str, About]:
    """The peers by name. Raises NotThere where the folder has none, or one is not as `About` says."""
    found = {}
    for file in sorted(folder.glob("*/peer.toml")):
        try:
            found[file.parent.name] = msgspec.toml.decode(file.read_bytes(), type=About)
        except (msgspec.DecodeError, OSError) as error:
            raise NotThere(f"{file}: {error}") from error
    if not found:
        raise NotThere(f"{folder} has no peers: run it where Folkmoot's source is, or say where with --peers-dir")
    return found


def missing_of(about: About) -> list[str]:
    """The programs that it needs and that are not here."""
    return [program for program in about.needs if shutil.which(program) is None]


class Build:
    """One peer of `folder`, built below `built`, once for as long as its files are the same."""

    def __init__(self, name: str, about: About, folder: Path, built: Path) -> None:
        self.name = name
        self.about = about
        self.peer = (folder / name).resolve()
        self.out = (built / name).resolve()

    def make(self) -> None:
        """Build it, unless that is done. Raises NotThere."""
        missing = missing_of(self.about)
        if missing:
            raise NotThere(f"{', '.join(missing)}: not on this machine")
        stamp, digest = self.out / "built", self._digest()
        if stamp.exists() and stamp.read_text() == digest:
            return
        shutil.rmtree(self.out, ignore_errors=True)
        self.out.mkdir(parents=True)
        for words in self.about.build:
            command = self.command(words, self.out)
            try:
                done = subprocess.run(
                    command, cwd=self.peer, capture_output=True, text=True, check=False, timeout=BUILD_S_MAX
                )
            except (OSError, subprocess.TimeoutExpired) as error:
                raise NotThere(f"{shlex.join(command)}: {error}") from error
            if done.returncode != 0:
                raise NotThere(f"{shlex.join(command)}: {(done.stderr or done.stdout).strip()[-LAST_WORDS:]}")
        stamp.write_text(digest)

    def command(self, words: list[str], data: Path) -> list[str]:
        """The words with their places filled in."""
        places = {"peer": str(self.peer), "out": str(self.out), "data": str(data), "python": sys.executable}
        return [word.format_map(places) for word in words]

    def _digest(self) -> str:
        """Of all its files: when they change it is built anew."""
        whole = hashlib.sha256()
        for file in sorted(path for path in self.peer.rglob("*") if path.is_file()):
            whole.update(os.fsencode(file.relative_to(self.peer)) + b"\0" + file.read_bytes() + b"\0")
        return whole.hexdigest()


class Peer(Child):
    """A peer that was built, started at once; `wait_ready` before anything else."""

    def __init__(self, build: Build, data: Path, *, cores: Collection[int]) -> None:
        self.host, self.port, self.version = "127.0.0.1", 0, ""
        self.dialect = build.about.dialect
        super().__init__(build.command(build.about.run, data), cores=cores, log=data / f"{build.name}.log")

    def wait_ready(self) -> None:
        """Return once it listens. Raises ChildFailed."""
        for _ in range(LINES_BEFORE_READY_MAX):
            line = self.hear(READY_S_MAX)
            # Some say other things first.
            if line.startswith(b"{"):
                try:
                    said = msgspec.json.decode(line, type=Said)
                except msgspec.DecodeError as error:
                    raise ChildFailed(f"{line.decode('utf-8', 'replace')}: {error}") from error
                self.port, self.version = said.port, said.version
                return
        raise ChildFailed(self.last_words())
