"""Counts of instructions are read, compared with a baseline, and said to be missing where there is no valgrind."""

from pathlib import Path

import msgspec
import pytest

from folkmoot.bench.counted import Counts, NoValgrind, counted, total_of, worse

COUNTS = Counts(to_few=90.0, to_many=100.0, writes="c", python="3.11", loop_instructions=500.0)


def test_what_costs_more_than_the_margin_is_named() -> None:
    assert worse(COUNTS, COUNTS, margin=0.0) == []
    now = msgspec.structs.replace(COUNTS, to_few=107.0, to_many=121.0)
    (said,) = worse(now, COUNTS, margin=0.2)
    assert said == "a message to 130 costs 121.0 rounds of the loop; it was 100.0"


@pytest.mark.parametrize(
    ("text", "total"),
    [("version: 1\nsummary: 0\n\nfn=x\ntotals: 123\n", 123), ("nothing", 0)],
)
def test_the_sum_of_a_file_is_read(text: str, total: int) -> None:
    assert total_of(text) == total


def test_without_valgrind_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoValgrind, match="apt-get install valgrind"):
        counted(tmp_path)
