"""The tracing port: spans of one message's way. Roles are handed a tracer or None, and then nothing is traced or paid.

A trace goes from process to process as a text on the bus's messages (W3C's `traceparent`), only where it was sampled.
Names, numbers and codes may be attributes; a message's body, a token or a user's name may not.
"""

from typing import Protocol, TypeAlias

Attribute: TypeAlias = str | int


class Span(Protocol):
    """One step, begun when it was made."""

    @property
    def context(self) -> str:
        """What a step after this one, here or elsewhere, names as its parent."""

    def end(self, **attributes: Attribute) -> None:
        """The step is over. Once only."""


class Tracer(Protocol):
    """Makes spans. Neither call waits or fails."""

    def root(self, name: str, **attributes: Attribute) -> Span | None:
        """The first step of a new trace, None where this one is not sampled."""

    def child(self, name: str, parent: str, **attributes: Attribute) -> Span | None:
        """A step under `parent`, a span's context; None where that is none."""
