"""The floor: a loop over send() in C, built when it is wanted, which no server that writes to sockets can beat."""

import os
import shlex
import shutil
import subprocess
from collections.abc import Collection
from importlib import resources
from pathlib import Path
from typing import Final

from folkmoot.bench.process import Child, ChildFailed

BUILD_S_MAX: Final = 60.0
READY_S_MAX: Final = 10.0


class NoCompiler(Exception):
    """There is no C compiler, or it does not build the floor; the text says what to do."""


class Floor(Child):
    """Started at once, from what `build` made; `wait_ready` before anything else."""

    def __init__(self, program: Path, *, cores: Collection[int]) -> None:
        self.host, self.port = "127.0.0.1", 0
        super().__init__([str(program)], cores=cores, log=program.with_name("floor.log"))

    def wait_ready(self) -> None:
        """Return once it listens. Raises ChildFailed."""
        self.port = int(self.hear(READY_S_MAX))

    def stalls(self) -> int:
        """Stop it: how often a socket took no more, and it had to wait. Raises ChildFailed."""
        words = self.stop().split()
        if len(words) != 2:
            raise ChildFailed(self.last_words())
        return int(words[1])


def build(folder: Path) -> Path:
    """The floor's program, made in `folder`. Raises NoCompiler."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    if not compiler or shutil.which(compiler[0]) is None:
        raise NoCompiler("no C compiler: install one (on Debian: apt-get install gcc libc6-dev), or set CC")
    program = folder / "floor"
    with resources.as_file(resources.files(__package__).joinpath("floor.c")) as source:
        command = [*compiler, "-O2", "-o", str(program), str(source)]
        try:
            built = subprocess.run(command, capture_output=True, text=True, check=False, timeout=BUILD_S_MAX)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NoCompiler(f"{shlex.join(compiler)}: {error}") from error
    if built.returncode != 0:
        raise NoCompiler(f"{shlex.join(compiler)} does not build the floor: {built.stderr.strip()[-500:]}")
    return program
