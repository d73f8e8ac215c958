"""Chat logs as lines of IRC clients have them: read as bytes, and not one line dropped."""

import re
from pathlib import Path
from typing import Final

import msgspec

from folkmoot.model.ids import NAME_CHARS_MAX, is_name

LOG: Final = "log"
"""The member who says what nobody in particular said: `===` lines, and any line of no known form."""

_SAID: Final = re.compile(rb"\[\d\d:\d\d\] <([^>]+)>", re.DOTALL)
_ACTED: Final = re.compile(rb"\[\d\d:\d\d\] +\* (\S+)", re.DOTALL)


class Line(msgspec.Struct, frozen=True):
    """One line of a log: who says it, and all of it as text, decoded with replacement."""

    speaker: str
    text: str
    is_message: bool


def parse(raw: bytes) -> list[Line]:
    """The lines of a log. They end at a newline and nowhere else; a last one without counts too."""
    lines = raw.split(b"\n")
    if lines and lines[-1] == b"":
        lines.pop()
    return [_line(line) for line in lines]


def read(path: Path) -> list[Line]:
    """The lines of a file. Raises OSError."""
    return parse(path.read_bytes())


def speakers(lines: list[Line]) -> list[str]:
    """Everyone who speaks or acts, and `log`, in the order of their first line, `log` last."""
    named = dict.fromkeys(line.speaker for line in lines if line.speaker != LOG)
    return [*named, LOG]


def _line(raw: bytes) -> Line:
    text = raw.decode("utf-8", "replace")
    for form, is_message in ((_SAID, True), (_ACTED, False)):
        match = form.match(raw)
        if match is not None:
            return Line(_user(match[1]), text, is_message)
    return Line(LOG, text, False)


def _user(nick: bytes) -> str:
    """A nick as the name of a user: itself where it can be one, else its bytes in hex, so that no two become one."""
    name = nick.decode("utf-8", "replace")
    if is_name(name) and name != LOG and "\ufffd" not in name and not name.startswith("hex-"):
        return name
    return f"hex-{nick.hex()}"[:NAME_CHARS_MAX]
