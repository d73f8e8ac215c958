"""The page of a live check: it stands alone, says what was found, and nothing in it is taken for markup."""

import re
import xml.etree.ElementTree as ET

from folkmoot.checker.history import FAULTS, Verdict
from folkmoot.checker.live import LiveReport, Round
from folkmoot.checker.live_page import page


def report(*, missing: int = 0, stuck: tuple[str, ...] = (), rounds: tuple[Round, ...] = ()) -> LiveReport:
    counts = dict.fromkeys(FAULTS, 0) | {"missing": missing}
    verdict = Verdict(counts, {"missing": ["user-1 lacks <b>1</b>"]} if missing else {}, 10, 120)
    return LiveReport(
        seed=7, seconds=60.0, acts=1, clients=4, reconnects=9, rounds=list(rounds), stuck=list(stuck), verdict=verdict
    )


ROUNDS = (
    Round(kinds=("kill",), began_s=1.0, lasted_s=0.5, recovery_s=0.25),
    Round(kinds=("kill",), began_s=3.0, lasted_s=0.5, recovery_s=0.75),
    Round(kinds=("pause", "cut"), began_s=9.0, lasted_s=2.0, recovery_s=None),
)


def test_a_clean_run_says_so_and_shows_each_fault_where_it_was() -> None:
    text = page(report(rounds=ROUNDS))
    assert "clean</span>" in text
    assert "<td>kill</td><td>2</td><td>0.50</td><td>0.75</td><td>1.00</td><td>1.25</td>" in text
    drawing = ET.fromstring(re.findall(r"<svg.*</svg>", text)[0])
    assert len(drawing.findall(".//rect")) == 8
    assert "up to date after never" in text
    assert "http" not in text


def test_what_was_found_is_said_and_escaped() -> None:
    text = page(report(missing=2, stuck=("user-2 is at 3 of 4",)))
    assert "NOT CLEAN" in text
    assert "user-1 lacks &lt;b&gt;1&lt;/b&gt;" in text
    assert "user-2 is at 3 of 4" in text


def test_a_run_without_faults_has_nothing_to_draw() -> None:
    assert "Nothing was struck." in page(report())
