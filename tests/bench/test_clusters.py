"""A cluster that cannot be is told by name; what one costs is measured in test_sending.py, on a real one."""

from pathlib import Path

import pytest

from folkmoot.bench.clusters import ClusterServer
from folkmoot.bench.process import ChildFailed


def test_without_java_it_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(ChildFailed, match="Java 17 is needed"):
        ClusterServer(tmp_path, settings={})
    assert list(tmp_path.iterdir()) == []
