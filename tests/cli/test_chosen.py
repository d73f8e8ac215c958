"""Settings as a command line chooses them: pairs, flags over variables over a file."""

from pathlib import Path

import pytest
import typer

from folkmoot.cli.chosen import chosen, pairs


def test_pairs_are_names_and_values() -> None:
    assert pairs(["sends-per-s=5", "host = a=b"]) == {"sends_per_s": "5", "host": " a=b"}
    with pytest.raises(typer.Exit):
        pairs(["nothing"])


def test_flags_come_before_variables_and_those_before_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("port = 1\nmembers_max = 2\nsends_burst = 3.0\n")
    monkeypatch.setenv("FOLKMOOT_PORT", "4")
    monkeypatch.setenv("FOLKMOOT_MEMBERS_MAX", "5")
    loaded = chosen(None, 6, None, file, ["hello_seconds=7"])
    settings = loaded.settings
    assert (settings.port, settings.members_max, settings.sends_burst, settings.hello_seconds) == (6, 5, 3.0, 7.0)
    names = ("port", "members_max", "sends_burst", "hello_seconds", "host")
    assert [loaded.sources[name] for name in names] == [
        "--port", "FOLKMOOT_MEMBERS_MAX", "sends_burst in settings.toml", "--hello-seconds", "default",
    ]  # fmt: skip
