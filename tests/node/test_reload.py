"""Reloading: what can change at once does, the rest is named, and a fault leaves everything as it was."""

import logging

import msgspec
import pytest

from folkmoot.node.config import Settings, SettingsError
from folkmoot.node.reload import Reloading


class Source:
    """Where settings come from, as the test has them now; None: what is there is broken."""

    def __init__(self) -> None:
        self.settings: Settings | None = Settings()

    def read(self) -> Settings:
        if self.settings is None:
            raise SettingsError("port in folkmoot.toml: Expected `int`")
        return self.settings


def said(caplog: pytest.LogCaptureFixture) -> str:
    return " ".join(str(record.__dict__) for record in caplog.records)


def a_reloading() -> tuple[Source, Reloading, list[Settings]]:
    source, told = Source(), list[Settings]()
    reloading = Reloading(Settings(), source.read)
    reloading.on_reload.append(told.append)
    return source, reloading, told


def test_what_can_change_does_and_what_cannot_is_named(caplog: pytest.LogCaptureFixture) -> None:
    source, reloading, told = a_reloading()
    source.settings = Settings(sends_per_s=7, port=1, data_dir="elsewhere")
    with caplog.at_level(logging.INFO):
        reloading.reload()
    assert told == [Settings(sends_per_s=7)] == [reloading.settings]
    assert "'sends_per_s'" in said(caplog)
    assert "need a restart" in said(caplog)
    assert "'data_dir'" in said(caplog)
    assert "elsewhere" not in said(caplog)


def test_a_broken_source_leaves_the_old_ones_and_says_why(caplog: pytest.LogCaptureFixture) -> None:
    source, reloading, told = a_reloading()
    source.settings = None
    with caplog.at_level(logging.INFO):
        reloading.reload()
    assert (told, reloading.settings) == ([], Settings())
    assert "port in folkmoot.toml" in said(caplog)


def test_parts_are_told_though_nothing_changed_since_they_may_have_files_of_their_own() -> None:
    _, reloading, told = a_reloading()
    reloading.reload()
    assert told == [Settings()]


def test_a_part_that_fails_keeps_none_from_being_told(caplog: pytest.LogCaptureFixture) -> None:
    source, reloading, told = a_reloading()

    def fail(_: Settings) -> None:
        raise RuntimeError("a part of it")

    reloading.on_reload.insert(0, fail)
    source.settings = Settings(log_level="debug")
    with caplog.at_level(logging.INFO):
        reloading.reload()
    assert told == [Settings(log_level="debug")]
    assert "a part did not take the new settings" in said(caplog)


def test_it_can_change_back() -> None:
    source, reloading, told = a_reloading()
    for rate in (7.0, 8.0, 50.0):
        source.settings = msgspec.structs.replace(Settings(), sends_per_s=rate)
        reloading.reload()
    assert [settings.sends_per_s for settings in told] == [7.0, 8.0, 50.0]
