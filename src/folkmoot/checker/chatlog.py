"""Chat logs as lines of IRC clients have them: read as bytes, and not one line dropped."""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from folkmoot.model.ids import NAME_CHARS_MAX, is_name

LOG: Final = "log"
"""The member who says what nobody in particular said: `===` lines, and any line of no known form."""

_SAID: Final = re.compile(rb"\[\d\d:\d\d\] <([^>\n]+)>")
_ACTED: Final = re.compile(rb"\[\d\d:\d\d\] +\* (\S+)")
_HEX: Final = "hex-"
_HASH: Final = "sha-"


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


def speakers(lines: Iterable[Line]) -> list[str]:
    """Everyone who speaks or acts, in the order of their first line; and `log` last, which may say nothing."""
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
    """A nick as the name of a user, so that no two become one.

    Itself where it can be one, else its bytes in hex, and where those would be too long for a name, their hash.
    """
    try:
        name = nick.decode()
    except UnicodeDecodeError:
        name = ""
    if is_name(name) and name != LOG and not name.startswith((_HEX, _HASH)):
        return name
    spelled = _HEX + nick.hex()
    return spelled if len(spelled) <= NAME_CHARS_MAX else _HASH + hashlib.sha256(nick).hexdigest()
