"""The measures by name, and the folder they are run in; what each does is in a module of its family."""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from folkmoot.bench.crowds import idle, joins, storm
from folkmoot.bench.deliveries import blast, fanout, floor_alone, hot, ladder, latency
from folkmoot.bench.lasting import sustained
from folkmoot.bench.plan import Plan
from folkmoot.bench.pointers import pointers
from folkmoot.bench.reading import history, lists
from folkmoot.bench.roles import roles
from folkmoot.bench.run import Run
from folkmoot.bench.sending import sends
from folkmoot.bench.slow import slow
from folkmoot.bench.stage import Stage
from folkmoot.bench.starts import start

RUNS: Final[Mapping[str, Callable[[Stage], Run]]] = {
    "floor": floor_alone,
    "fanout": fanout,
    "blast": blast,
    "latency": latency,
    "ladder": ladder,
    "hot": hot,
    "slow": slow,
    "sustained": sustained,
    "idle": idle,
    "storm": storm,
    "joins": joins,
    "sends": sends,
    "history": history,
    "lists": lists,
    "roles": roles,
    "pointers": pointers,
    "start": start,
}


class Bench:
    """Runs plans in a folder of its own in `parent`, which has to be on the disk that is meant.

    `say` is told how far it is. Use as a context manager: the folder goes with it.
    """

    def __init__(self, parent: Path, say: Callable[[str], None]) -> None:
        self._whole = tempfile.TemporaryDirectory(prefix="folkmoot-bench-", dir=parent)
        self._folder = Path(self._whole.name)
        self._say = say

    def __enter__(self) -> "Bench":
        return self

    def __exit__(self, *_: object) -> None:
        self._whole.cleanup()

    def run(self, plan: Plan) -> Run:
        """One run of the plan. Raises NoCompiler, LoadFailed, ChildFailed, GroupsRefused, OSError."""
        with tempfile.TemporaryDirectory(prefix="run-", dir=self._folder) as folder:
            return RUNS[plan.scenario](Stage(plan, Path(folder), self._folder, self._say))
