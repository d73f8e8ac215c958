"""The bounds of the wire: each with its unit, and what happens at it."""

from typing import Final

FRAME_BYTES_MAX: Final = 65_536
"""A larger frame closes the connection with `frame_too_large`: a message's text and data fit with room to spare."""

POSITIONS_PER_RESUME_MAX: Final = 100
"""More groups go in more `resume` frames."""

ACKS_PER_FRAME_MAX: Final = 500
"""More groups go in more `ack` frames."""

WINDOW_ENTRIES_MAX: Final = 10_000
WINDOW_ENTRIES_DEFAULT: Final = 1_000
"""A catch-up that is this far ahead of the client's `ack` waits for it."""

PAGE_ENTRIES_MAX: Final = 100
PAGE_BYTES_MAX: Final = 262_144
"""A page ends at whichever comes first, but holds one entry at least."""

LIST_ROWS_MAX: Final = 500
"""Groups and members come in pages of at most this many."""

SENDS_UNANSWERED_MAX: Final = 64
"""Of one connection; one more is answered `window_full`, undecided, and may be sent again once others are answered."""

HELLO_SECONDS_MAX: Final = 5.0
"""A connection that has not said a valid hello by then is closed with `hello_timeout`."""

TOKEN_CHARS_MAX: Final = 8_192

HELD_FRAMES_MAX: Final = 64
HELD_BYTES_MAX: Final = 262_144
"""Of frames that come while a hello is looked at: they are taken after it, in order. Past either bound: `flood`."""
