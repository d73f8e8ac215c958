"""The spans of a batch: what a router does once for many sends is a step in the trace of each that was sampled."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from folkmoot.ports.subjects import Answer
from folkmoot.ports.traces import Span, Tracer
from folkmoot.router.batch import Ruling


class Traced(Protocol):
    """A send that waits, and the span of its being routed where it was sampled."""

    @property
    def span(self) -> Span | None: ...


def begin_each(tracer: Tracer, name: str, taken: Iterable[Traced]) -> list[Span]:
    """One span for each sampled send of a batch, to be ended together."""
    contexts = (one.span.context for one in taken if one.span is not None)
    return [span for context in contexts if (span := tracer.child(name, context)) is not None]


def begin_publishing(tracer: Tracer, taken: Sequence[Traced], rulings: Sequence[Ruling], first: int) -> dict[int, Span]:
    """One span for each sampled send whose entry is published, from `first` on, by the entry's number."""
    spans: dict[int, Span] = {}
    for one, ruling in zip(taken, rulings, strict=False):
        seq = ruling.answer.seq
        if one.span is not None and seq is not None and seq >= first:
            span = tracer.child("publish", one.span.context, seq=seq)
            if span is not None:
                spans[seq] = span
    return spans


def contexts_of(spans: Mapping[int, Span]) -> dict[int, str] | None:
    """What goes with the entries on the bus: None where nothing was sampled."""
    return {seq: span.context for seq, span in spans.items()} or None


def end_routing(one: Traced, answer: Answer) -> None:
    """The send has been answered, and what there was to publish is published."""
    if one.span is not None:
        one.span.end(seq=answer.seq or 0, code=answer.code)
