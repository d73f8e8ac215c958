"""The bounds fit one another: whatever is allowed fits into a frame."""

from folkmoot.model.body import DATA_BYTES_MAX, TEXT_CHARS_MAX
from folkmoot.protocol import limits


def test_the_longest_message_fits_into_a_frame_with_room_to_spare() -> None:
    # A character has up to 4 bytes in UTF-8, or 6 where JSON escapes it.
    assert TEXT_CHARS_MAX * 6 + DATA_BYTES_MAX < limits.FRAME_BYTES_MAX


def test_windows_and_pages_fit() -> None:
    assert 1 <= limits.WINDOW_ENTRIES_DEFAULT <= limits.WINDOW_ENTRIES_MAX
    assert limits.PAGE_ENTRIES_MAX <= limits.WINDOW_ENTRIES_DEFAULT
    assert limits.TOKEN_CHARS_MAX < limits.FRAME_BYTES_MAX
    # A position has 27 characters and a group's id 26, both with quotes, a colon and a comma.
    assert limits.POSITIONS_PER_RESUME_MAX * (128 + 27 + 6) < limits.FRAME_BYTES_MAX
