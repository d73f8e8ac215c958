"""Spans of a batch: only sampled sends have any, and only entries that are published now take one along."""

from folkmoot.ports.subjects import Answer
from folkmoot.ports.traces import Attribute, Span
from folkmoot.router.batch import Ruling
from folkmoot.router.traced import begin_each, begin_publishing, contexts_of, end_routing


class Remembered:
    def __init__(self, context: str) -> None:
        self.context = context
        self.ended: list[dict[str, Attribute]] = []

    def end(self, **attributes: Attribute) -> None:
        self.ended.append(attributes)


class Remembering:
    def root(self, name: str, **attributes: Attribute) -> Span | None:
        raise AssertionError("a router begins no trace")

    def child(self, name: str, parent: str, **attributes: Attribute) -> Remembered | None:
        return Remembered(f"{parent}/{name}") if parent else None


class Waiting:
    def __init__(self, context: str | None) -> None:
        self.remembered = None if context is None else Remembered(context)

    @property
    def span(self) -> Span | None:
        return self.remembered


def ruled(*seqs: int | None) -> list[Ruling]:
    return [Ruling(Answer("g", "s", seq=seq), written=True) for seq in seqs]


def test_one_span_for_each_sampled_send_and_none_where_the_parent_is_none() -> None:
    taken = [Waiting("a"), Waiting(None), Waiting(""), Waiting("b")]
    assert [span.context for span in begin_each(Remembering(), "append", taken)] == ["a/append", "b/append"]


def test_only_what_is_published_now_takes_a_context_along() -> None:
    taken = [Waiting("old"), Waiting("refused"), Waiting("new"), Waiting(None), Waiting("left for the next batch")]
    spans = begin_publishing(Remembering(), taken, ruled(3, None, 7, 8), 7)
    assert contexts_of(spans) == {7: "new/publish"}
    assert contexts_of({}) is None


def test_routing_ends_with_the_answer() -> None:
    one, untraced = Waiting("a"), Waiting(None)
    end_routing(one, Answer("g", "s", code="muted", definite=True))
    end_routing(untraced, Answer("g", "s", seq=1))
    assert one.remembered is not None
    assert one.remembered.ended == [{"seq": 0, "code": "muted"}]
