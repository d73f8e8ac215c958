"""Options that many verbs share, written once: where the server is, and by what right one asks."""

import inspect
from collections.abc import Callable
from typing import Any, Concatenate, TypeVar

T = TypeVar("T")


def given(maker: Callable[..., T]) -> Callable[[Callable[Concatenate[T, ...], None]], Callable[..., None]]:
    """Let a verb take the options of `maker` after its own, and hand it what `maker` makes of them, first of all.

    The command line is read off signatures and gives all by name, so the verb gets a signature that is the sum of both.
    """
    shared = inspect.signature(maker).parameters

    def dressed(verb: Callable[Concatenate[T, ...], None]) -> Callable[..., None]:
        def command(**options: Any) -> None:
            made = maker(**{name: options.pop(name) for name in shared})
            verb(made, **options)

        _, *own = inspect.signature(verb).parameters.values()
        both = [*own, *shared.values()]
        command.__name__, command.__doc__, command.__module__ = verb.__name__, verb.__doc__, verb.__module__
        command.__signature__ = inspect.Signature(both)  # type: ignore[attr-defined]
        command.__annotations__ = {one.name: one.annotation for one in both}
        return command

    return dressed
