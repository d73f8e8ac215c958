"""Every measure that has a name can be run, and the folder it was run in goes with it."""

from pathlib import Path

from folkmoot.bench.plan import DEFAULTS, SCENARIOS
from folkmoot.bench.scenarios import RUNS, Bench


def test_every_name_has_a_measure_and_sizes() -> None:
    assert set(RUNS) == set(SCENARIOS) == set(DEFAULTS)


def test_the_folder_goes_with_it(tmp_path: Path) -> None:
    with Bench(tmp_path, lambda _: None):
        assert len(list(tmp_path.iterdir())) == 1
    assert list(tmp_path.iterdir()) == []
