"""A child runs on the cores it was given, says its lines, and is gone when it is stopped."""

import os
import sys
from pathlib import Path

import pytest

from folkmoot.bench.process import Child, ChildFailed, pinned, python

ECHO = "import sys\nfor line in sys.stdin: print(line.strip()[::-1], flush=True)\nprint('end')"


def child(tmp_path: Path, code: str, cores: set[int] | None = None) -> Child:
    return Child([sys.executable, "-c", code], cores=cores or set(), log=tmp_path / "log")


def test_lines_go_in_and_come_out(tmp_path: Path) -> None:
    echo = child(tmp_path, ECHO)
    echo.tell(b"abc")
    assert echo.hear(30) == b"cba\n"
    assert echo.usage().rss_bytes > 0
    assert echo.stop() == b"end\n"
    assert echo.stop() == b""


def test_it_runs_where_it_is_pinned_and_this_process_does_not(tmp_path: Path) -> None:
    before = os.sched_getaffinity(0)
    core = max(before)
    one = child(tmp_path, "import os; print(sorted(os.sched_getaffinity(0)))", {core})
    assert one.hear(30) == f"[{core}]\n".encode()
    one.stop()
    assert os.sched_getaffinity(0) == before


def test_it_is_killed_whatever_it_does(tmp_path: Path) -> None:
    one = child(tmp_path, "import time\nprint('up', flush=True)\nwhile True: time.sleep(1)")
    assert one.hear(30) == b"up\n"
    one.kill()
    with pytest.raises(ChildFailed):
        one.usage()


def test_its_last_words_are_told(tmp_path: Path) -> None:
    one = child(tmp_path, "raise SystemExit('no such luck')")
    with pytest.raises(ChildFailed, match="no such luck"):
        one.hear(30)
    with pytest.raises(ChildFailed, match="no such luck"):
        one.tell(b"x" * 1_000_000)
    with pytest.raises(ChildFailed):
        one.usage()
    one.stop()


def test_one_that_says_nothing_is_ended(tmp_path: Path) -> None:
    one = child(tmp_path, "import sys; sys.stdin.read()")
    with pytest.raises(ChildFailed, match="it said nothing"):
        one.hear(0.2)
    one.stop()


def test_no_cores_means_any() -> None:
    before = os.sched_getaffinity(0)
    with pinned(()):
        assert os.sched_getaffinity(0) == before


def test_a_module_runs_in_this_installation() -> None:
    assert python("a.b", "c") == [sys.executable, "-m", "a.b", "c"]
