"""A message to few and to many costs no more instructions than at the last release: counted, so no clock decides.

The margin is wide, since a count was seen to move by a fifth with what timers and collections happen to do beside it:
it catches a task or several calls of Python more for each member, not a few per cent. After a change that is meant, or
that made it cheaper: `folkmoot bench count --renew`.
"""

import os
from pathlib import Path

import pytest

from folkmoot import __version__
from folkmoot.bench.counted import NoValgrind, counted, worse
from folkmoot.bench.release import FOLDER, read

MARGIN = 0.5


@pytest.mark.timeout(600)
def test_a_message_costs_no_more_than_before(tmp_path: Path) -> None:
    release = read(Path(__file__).parents[2] / FOLDER / f"{__version__}.json")
    assert release is not None, "folkmoot bench count --renew"
    try:
        now = counted(tmp_path)
    except NoValgrind as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"NOT COUNTED: {missing}")
    baseline = release.like(now)
    if baseline is None:
        pytest.skip(f"NOT COMPARED: no baseline for Python {now.python} that writes in {now.writes}")
    assert worse(now, baseline, margin=MARGIN) == [], "mend it; where it is meant: folkmoot bench count --renew"
