"""Chat logs: every line of any bytes goes through, as its speaker's, and no two nicks become one user."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from folkmoot.checker.chatlog import LOG, Line, parse, read, speakers
from folkmoot.model.ids import is_name

DATA = Path(__file__).parent.parent / "data"


def test_a_message_an_action_and_what_the_log_says() -> None:
    raw = b"[15:01] <gos> Hi, all\n[15:02]  * dax waves\n=== gos [~g@h] has joined #ubuntu\n"
    assert parse(raw) == [
        Line("gos", "[15:01] <gos> Hi, all", True),
        Line("dax", "[15:02]  * dax waves", False),
        Line(LOG, "=== gos [~g@h] has joined #ubuntu", False),
    ]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" ",
        b"\r",
        b"no form",
        b"[15:0] <a> b",
        b"15:01 <a> b",
        b"[15:01] a",
        b"[15:01] <> b",
        b"[15:01]  *",
        b"\0",
    ],
)
def test_a_line_of_no_known_form_is_said_by_the_log(raw: bytes) -> None:
    assert parse(raw + b"\n") == [Line(LOG, raw.decode(), False)]


def test_lines_end_at_a_newline_and_nowhere_else() -> None:
    raw = "[15:01] <a> one\x1ctwo\x1dthree\x1efour\x15\x0b\x0c\r\x85\u2028end\n".encode()
    assert len(parse(raw)) == 1
    assert parse(raw)[0].text == raw.decode()[:-1]


def test_a_last_line_without_a_newline_counts() -> None:
    assert [line.text for line in parse(b"=== a\n\n=== b")] == ["=== a", "", "=== b"]
    assert parse(b"") == []


def test_what_is_no_utf_8_is_decoded_with_replacement() -> None:
    assert parse(b"[15:01] <a> caf\xe9\n") == [Line("a", "[15:01] <a> caf\ufffd", True)]


def test_nicks_that_cannot_name_a_user_are_spelled_in_hex_or_hashed() -> None:
    assert parse(b"[15:01] <a b> x\n")[0].speaker == "hex-612062"
    assert parse(b"[15:01] <log> x\n")[0].speaker == "hex-6c6f67"
    assert parse(b"[15:01] <\xe9> x\n")[0].speaker == "hex-e9"
    assert parse(b"[15:01] <" + b"n" * 128 + b"> x\n")[0].speaker == "n" * 128
    long = parse(b"[15:01] <" + b"n" * 129 + b"> x\n")[0].speaker
    assert long.startswith("sha-")
    assert is_name(long)


def test_speakers_are_all_who_speak_or_act_and_the_log() -> None:
    assert speakers(parse(b"[15:01] <b> x\n[15:01]  * a y\n[15:01] <b> z\n")) == ["b", "a", LOG]
    assert speakers(parse(b"=== x\n")) == [LOG]
    assert speakers([]) == [LOG]


@given(st.binary())
def test_every_byte_goes_through(raw: bytes) -> None:
    lines = parse(raw + b"\n")
    assert "".join(line.text + "\n" for line in lines) == raw.decode("utf-8", "replace") + "\n"
    assert parse(raw) == (lines if raw and not raw.endswith(b"\n") else lines[:-1])
    assert all(is_name(line.speaker) for line in lines)


@given(st.binary(min_size=1, max_size=200), st.binary(min_size=1, max_size=200))
def test_two_nicks_are_two_users(one: bytes, other: bytes) -> None:
    names = [parse(b"[15:01] <" + nick + b"> x")[0].speaker for nick in (one, other)]
    said = [b">" not in nick and b"\n" not in nick for nick in (one, other)]
    if all(said) and one != other:
        assert names[0] != names[1]


@given(st.sampled_from(["hex-", "sha-"]), st.text("0123456789abcdef", max_size=80))
def test_a_nick_that_looks_like_a_spelled_one_is_spelled_itself(start: str, end: str) -> None:
    nick = (start + end).encode()
    assert parse(b"[15:01] <" + nick + b"> x")[0].speaker not in (nick.decode(), LOG)


@pytest.mark.parametrize(
    ("name", "messages", "members"), [("2005-07-06_14.txt", 1_200, 108), ("2010-08-17_18.txt", 1_445, 222)]
)
def test_the_files_here_are_as_logged(name: str, messages: int, members: int) -> None:
    lines = read(DATA / name)
    assert len(lines) == 1_500
    assert sum(line.is_message for line in lines) == messages
    assert len(speakers(lines)) == members
    assert "\n".join(line.text for line in lines).encode() + b"\n" == (DATA / name).read_bytes()
