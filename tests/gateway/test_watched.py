"""Watched files: a change of content, of the file behind a link, its coming and its going are each noticed once."""

import os
from pathlib import Path

from folkmoot.gateway.watched import Watched


def test_each_change_is_noticed_once(tmp_path: Path) -> None:
    path, other = tmp_path / "a", tmp_path / "b"
    watched = Watched([path, other])
    assert watched.changed()
    assert not watched.changed()
    path.write_text("one")
    assert watched.changed()
    assert not watched.changed()
    os.utime(path, ns=(1, 1))
    assert watched.changed()
    other.write_text("two")
    assert watched.changed()
    other.unlink()
    assert watched.changed()
    assert not watched.changed()


def test_a_link_that_is_turned_is_a_change(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).write_text("same length")
        os.utime(tmp_path / name, ns=(1, 1))
    link = tmp_path / "link"
    link.symlink_to("old")
    watched = Watched([link])
    assert watched.changed()
    (tmp_path / "next").symlink_to("new")
    (tmp_path / "next").replace(link)
    assert watched.changed()
