"""The tracing port, as a tracer that only remembers fulfils it: what roles may rely on, and no more."""

from folkmoot.ports.traces import Attribute, Span, Tracer


class Remembered:
    """A span that remembers how it ended."""

    def __init__(self, context: str) -> None:
        self._context = context
        self.ended: dict[str, Attribute] | None = None

    @property
    def context(self) -> str:
        return self._context

    def end(self, **attributes: Attribute) -> None:
        assert self.ended is None, "once only"
        self.ended = attributes


class Remembering:
    """Samples every other trace."""

    def __init__(self) -> None:
        self.begun: list[Remembered] = []
        self._asked = 0

    def root(self, name: str, **attributes: Attribute) -> Remembered | None:
        self._asked += 1
        return None if self._asked % 2 else self._begin(name)

    def child(self, name: str, parent: str, **attributes: Attribute) -> Remembered | None:
        return self._begin(f"{parent}/{name}") if parent else None

    def _begin(self, context: str) -> Remembered:
        self.begun.append(Remembered(context))
        return self.begun[-1]


def test_a_tracer_needs_nothing_of_a_library() -> None:
    tracer: Tracer = (remembering := Remembering())
    assert tracer.root("submit") is None
    root: Span | None = tracer.root("submit")
    assert root is not None
    step = tracer.child("route", root.context, seq=1)
    assert step is not None
    assert step.context == "submit/route"
    step.end(code="")
    assert tracer.child("route", "") is None
    assert [span.ended for span in remembering.begun] == [None, {"code": ""}]
