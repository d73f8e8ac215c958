"""What handlers say of themselves is complete: codes that exist, and those that every call can have."""

import msgspec

from folkmoot.gateway.problem import STATUS
from folkmoot.gateway.rest.described import ALWAYS, GIVES, JSON, MEDIA, REFUSES, SENDS, TAKES, told
from folkmoot.protocol.errors import CODES, Certainty


class Shape(msgspec.Struct):
    """A shape."""


def test_the_codes_are_in_both_tables() -> None:
    for code in (*ALWAYS, *SENDS):
        assert code in STATUS
        assert code in CODES


def test_whatever_is_undecided_is_told_of_sends() -> None:
    undecided = {code.name for code in CODES.values() if code.certainty is Certainty.UNDECIDED}
    # A socket's own, and what is told as `no_such_group`.
    assert undecided - {"window_full", "not_taken"} <= {*ALWAYS, *SENDS}


def test_a_call_says_it_to_its_decorator() -> None:
    said = told("Do it", gives=Shape, takes=Shape, refuses=("no_such_user",), status=201)
    assert said["summary"] == "Do it"
    assert said["status_code"] == 201
    assert said["opt"] == {TAKES: Shape, GIVES: Shape, REFUSES: (*ALWAYS, "no_such_user"), MEDIA: JSON}
