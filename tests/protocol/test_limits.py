"""The bounds fit one another: whatever is allowed fits into a frame."""

from pathlib import Path

from folkmoot.model import body as bodies
from folkmoot.model import ids
from folkmoot.model.body import DATA_BYTES_MAX, TEXT_CHARS_MAX
from folkmoot.protocol import limits

SPEC = (Path(__file__).parents[2] / "spec" / "protocol.md").read_text()


def test_the_longest_message_fits_into_a_frame_with_room_to_spare() -> None:
    # A character has up to 4 bytes in UTF-8, or 6 where JSON escapes it.
    assert TEXT_CHARS_MAX * 6 + DATA_BYTES_MAX < limits.FRAME_BYTES_MAX


def test_windows_and_pages_fit() -> None:
    assert 1 <= limits.WINDOW_ENTRIES_DEFAULT <= limits.WINDOW_ENTRIES_MAX
    assert limits.PAGE_ENTRIES_MAX <= limits.WINDOW_ENTRIES_DEFAULT
    assert limits.TOKEN_CHARS_MAX < limits.FRAME_BYTES_MAX
    # A position has 27 characters and a group's id 26, both with quotes, a colon and a comma.
    assert limits.POSITIONS_PER_RESUME_MAX * (128 + 27 + 6) < limits.FRAME_BYTES_MAX


def test_the_spec_names_every_bound_of_the_wire() -> None:
    for name, bound in vars(limits).items():
        if name.isupper() and name != "PAGE_BYTES_MAX":
            assert f"{int(bound):,}" in SPEC, f"spec/protocol.md: {name} is {int(bound):,}"
    assert f"{limits.PAGE_BYTES_MAX // 1_024} KiB" in SPEC
    for name, bound in vars(bodies).items():
        if name.endswith("_MAX"):
            assert f"{bound:,}" in SPEC, f"spec/protocol.md: {name} is {bound:,}"
    assert f"1 to {ids.NAME_CHARS_MAX} printable characters" in SPEC
