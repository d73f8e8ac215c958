"""Those that are asked for are got ready; who cannot be is missing, loudly, and a name of nobody's is an error."""

from pathlib import Path

import pytest

from folkmoot.bench.contenders import FLOOR, OURS, Contenders
from folkmoot.bench.peers import NotThere

PEER = """
about = "a tiny one"
stores = "nothing"
promises = "little"
dialect = "starlette"
needs = [{needs}]
build = []
run = ["{{python}}", "-c", "print()"]
"""


def folder_of(tmp_path: Path) -> Path:
    for name, needs in (("tiny", ""), ("lost", '"no-such-program"')):
        (tmp_path / "peers" / name).mkdir(parents=True)
        (tmp_path / "peers" / name / "peer.toml").write_text(PEER.format(needs=needs))
    return tmp_path / "peers"


def test_who_cannot_take_part_is_missing_and_said(tmp_path: Path) -> None:
    said: list[str] = []
    contenders = Contenders([FLOOR, "tiny", "lost", OURS], folder=folder_of(tmp_path), built=tmp_path / "built")
    ready = contenders.prepare(said.append)
    assert [one.name for one in ready] == [FLOOR, "tiny", OURS]
    assert [one.stores for one in ready][1] == "nothing"
    assert [one.name for one in contenders.missing] == ["lost"]
    assert said == ["building tiny", "MISSING lost: no-such-program: not on this machine"]


def test_a_name_that_is_nobodys_is_an_error(tmp_path: Path) -> None:
    contenders = Contenders(["tinny"], folder=folder_of(tmp_path), built=tmp_path / "built")
    with pytest.raises(NotThere, match=r"tinny.*folkmoot.*tiny"):
        contenders.prepare(lambda _: None)


def test_own_ones_need_no_folder(tmp_path: Path) -> None:
    contenders = Contenders([FLOOR, OURS], folder=tmp_path / "none", built=tmp_path / "built")
    assert [one.name for one in contenders.prepare(lambda _: None)] == [FLOOR, OURS]
