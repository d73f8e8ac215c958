"""The error table: close codes by range, what is definite, and that the code uses no code that is not in it."""

import re
from pathlib import Path

from folkmoot.protocol.errors import CODES, Certainty, is_definite

SOURCE = Path(__file__).parents[2] / "src" / "folkmoot"


def test_only_what_closes_has_a_close_code_and_its_range_says_what_to_do() -> None:
    for code in CODES.values():
        if code.certainty is Certainty.CLOSED:
            again = 4000 <= code.close < 4100
            assert again == ("connect again after reconnect_after_ms" in code.client), code.name
            assert 4000 <= code.close < 4300
        else:
            assert code.close == 0
    closes = [code.close for code in CODES.values() if code.close]
    assert len(set(closes)) == len(closes)


def test_definite_is_what_is_refused_and_an_unknown_code_settles_nothing() -> None:
    assert is_definite("too_long")
    assert not is_definite("slow_down")
    assert not is_definite("a_code_of_tomorrow")


def test_every_code_that_the_roles_use_is_in_the_table() -> None:
    used: set[str] = set()
    for folder in ("router", "gateway", "model"):
        for path in (SOURCE / folder).glob("*.py"):
            text = path.read_text()
            used |= set(re.findall(r'(?:Refuse|Leave|_Refuse|BodyInvalid|FrameInvalid)\(\s*"([a-z_]+)"', text))
            used |= set(re.findall(r'(?:\.end|_fail|expire|TokenRefused)\(\s*"([a-z_]+)"', text))
            used |= set(re.findall(r'_undecided\([a-z]+, "([a-z_]+)"', text))
    assert len(used) > 25
    assert used <= set(CODES), used - set(CODES)
