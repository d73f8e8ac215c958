"""Small measures for real: what each gives, whatever the times, since other tests may run beside these."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from folkmoot.bench import window
from folkmoot.bench.plan import Plan
from folkmoot.bench.report import MEANINGS
from folkmoot.bench.run import Run
from folkmoot.bench.scenarios import Bench


@pytest.fixture
def however_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times are not judged; counts are."""
    monkeypatch.setattr(window, "LATE_MS_MAX", math.inf)
    monkeypatch.setattr(window, "LOAD_BUSY_SHARE_MAX", math.inf)


@pytest.fixture
def ran(tmp_path: Path, however_busy: None) -> Callable[[Plan], Run]:
    """Runs a plan: the run, which has a result, and has left nothing behind."""

    def run(plan: Plan) -> Run:
        said: list[str] = []
        with Bench(tmp_path, said.append) as bench:
            run = bench.run(plan)
        assert run.refusals == []
        assert set(run.figures) <= set(MEANINGS)
        assert list(tmp_path.iterdir()) == []
        return run

    return run
