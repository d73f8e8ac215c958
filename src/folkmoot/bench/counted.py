"""Instructions that a stored message costs the server, counted by callgrind: no clock is asked.

The whole server runs under valgrind, and real sockets send in turn: the next message once everyone has the one before,
so that each is stored by itself. What is counted is user space. Instructions depend on the build of Python too, so they
are given as so many rounds of a fixed loop in the same interpreter.
"""

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from folkmoot.bench.groups import create_groups
from folkmoot.bench.jobs import Begin, Job
from folkmoot.bench.load import Load
from folkmoot.bench.process import ChildFailed
from folkmoot.bench.report import shown
from folkmoot.bench.server import Server
from folkmoot.gateway.lane import volley

MEMBERS: Final = 130
FEW: Final = 2
WARM: Final = 20
COUNTED: Final = 30
"""Messages: first those that are not counted, which load what is loaded once."""

STRETCHES: Final = 3
"""Of which the least counts: what timers and collections happen to do beside the messages is in the others."""

ROUNDS: Final = 4_000
VALGRIND_S_MAX: Final = 240.0
"""Of the loop, of a start and of a word to callgrind: all take seconds where nothing else runs."""

LOOP: Final = """
import sys
kept, text = {}, "a message of some length, and of no great interest to anyone"
for number in range(int(sys.argv[1])):
    key = number % 977
    kept[key] = kept.get(key, 0) + len(text[key % 40 :].split())
    text.encode().startswith(b"a message")
"""
"""A bit of everything that Python does, the same for ever: one round of it is the measure."""


NAMES: Final = {"to_few": f"a message to {FEW}", "to_many": f"a message to {MEMBERS}"}


class NoValgrind(Exception):
    """There is no valgrind here, or it does not work; the text says what to do."""


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Rounds of LOOP that a message costs, to two connected members and to 130 of them, all deliveries included.

    `writes`: how members are written to, `c` or `python`; only like is compared.
    """

    to_few: float
    to_many: float
    writes: str
    python: str
    loop_instructions: float


def counted(folder: Path) -> Counts:
    """Count, in an empty folder. Raises NoValgrind, ChildFailed, LoadBroken, GroupsRefused, OSError."""
    if shutil.which("valgrind") is None or shutil.which("callgrind_control") is None:
        raise NoValgrind("no valgrind: install it (on Debian: apt-get install valgrind)")
    loop = _loop_instructions(folder)
    few, many = _message_instructions(folder, (FEW, MEMBERS))
    return Counts(
        to_few=few / loop,
        to_many=many / loop,
        writes="python" if volley is None else "c",
        python=".".join(map(str, sys.version_info[:2])),
        loop_instructions=loop,
    )


def worse(now: Counts, baseline: Counts, *, margin: float) -> list[str]:
    """What costs more than `margin` (a share) above the baseline, in words."""
    found = []
    for name, what in NAMES.items():
        cost, was = getattr(now, name), getattr(baseline, name)
        if cost > was * (1 + margin):
            found.append(f"{what} costs {shown(cost)} rounds of the loop; it was {shown(was)}")
    return found


def callgrind(out: Path, *options: str) -> list[str]:
    """The words that run what follows them under callgrind, which writes to `out`."""
    return ["valgrind", "--tool=callgrind", "--quiet", f"--callgrind-out-file={out}", *options]


def total_of(out: str) -> int:
    """All instructions in a file of callgrind."""
    found = re.search(r"^totals: (\d+)", out, re.MULTILINE)
    return int(found[1]) if found else 0


class CountedServer(Server):
    """The server under callgrind, which counts only when it is told to."""

    ready_s_max = VALGRIND_S_MAX

    def __init__(self, data_dir: Path) -> None:
        self._out = data_dir / "callgrind.out"
        self._parts = 0
        super().__init__(data_dir, cores=(), under=callgrind(self._out, "--instr-atstart=no"))

    def count(self, on: bool) -> None:
        """Begin to count, or stop. Raises NoValgrind."""
        self._control("--instr=on" if on else "--instr=off")

    def counted(self) -> int:
        """What was counted since the last call. Raises NoValgrind."""
        self._control("--dump")
        self._parts += 1
        return total_of(self._out.with_name(f"{self._out.name}.{self._parts}").read_text())

    def _control(self, option: str) -> None:
        command = ["callgrind_control", option, str(self.pid)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=VALGRIND_S_MAX)
        if done.returncode != 0 or "OK" not in done.stdout:
            raise NoValgrind(f"callgrind_control {option}: {(done.stdout + done.stderr).strip()}")


def _message_instructions(folder: Path, connected: Sequence[int]) -> list[float]:
    """What one message costs in a group of which so many are connected, all of its deliveries included."""
    found = []
    server = CountedServer(folder)
    try:
        server.wait_ready()
        ids = create_groups(server.host, server.port, server.secret, count=1, members=max(connected))
        for members in connected:
            given: dict[str, object] = {"host": server.host, "port": server.port, "secret": server.secret}
            given |= {"sources": ["127.0.0.1"], "groups": ids, "members": members, "traffic": "sends_to_last"}
            job = msgspec.convert(given, Job)
            _send(msgspec.structs.replace(job, sends_max=WARM), lambda _: None)
            stretches = []
            for _ in range(STRETCHES):
                _send(msgspec.structs.replace(job, sends_max=COUNTED), server.count)
                stretches.append(server.counted() / COUNTED)
            found.append(min(stretches))
        return found
    finally:
        server.stop()


def _send(job: Job, count: Callable[[bool], None]) -> None:
    """Send in turn, and `count` from when all are there until all have everything."""
    load = Load(job)
    try:
        load.connect()
        count(True)
        tally = load.run(Begin(time.monotonic_ns(), 0.0, VALGRIND_S_MAX))
        count(False)
    finally:
        load.close()
    if (tally.sent, tally.delivered) != (job.sends_max, tally.expected):
        raise ChildFailed(f"{tally.delivered} deliveries came where {job.sends_max * job.members} were due")


def _loop_instructions(folder: Path) -> float:
    """What one round of LOOP costs: of two runs the difference, so that Python's start is not in it."""
    totals = []
    for rounds in (ROUNDS, 2 * ROUNDS):
        out = folder / f"loop-{rounds}.out"
        words = [*callgrind(out), sys.executable, "-I", "-S", "-c", LOOP, str(rounds)]
        done = subprocess.run(
            words, capture_output=True, text=True, check=False, timeout=VALGRIND_S_MAX, env={"PYTHONHASHSEED": "0"}
        )
        if done.returncode != 0:
            raise NoValgrind(f"valgrind does not run Python here: {done.stderr.strip()[-500:]}")
        totals.append(total_of(out.read_text()))
    if totals[1] <= totals[0]:
        raise ChildFailed("callgrind counted nothing")
    return (totals[1] - totals[0]) / ROUNDS
