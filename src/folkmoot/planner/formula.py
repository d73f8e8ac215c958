"""Formulas as text, with one meaning in Python and in a page's JavaScript: each step builds on those before it.

What is printed is what is reckoned: the text of a formula is the only place where it stands.
"""

import ast
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

FUNCTIONS: Final[Mapping[str, Callable[..., float]]] = {"ceil": math.ceil, "max": max, "min": min, "pow": math.pow}
"""What a formula may call: JavaScript's `Math` has the same under the same names."""


class Step(msgspec.Struct, frozen=True):
    """One quantity: `formula` is arithmetic over names that are known before it, `unit` what it counts."""

    name: str
    formula: str
    unit: str
    what: str


def reckon(steps: Sequence[Step], known: Mapping[str, float]) -> dict[str, float]:
    """All of `known`, and what each step comes to. Raises ZeroDivisionError where a formula divides by nothing."""
    values = dict(known)
    for step in steps:
        values[step.name] = float(_value(_parsed(step.formula), values))
    return values


def names_in(formula: str) -> list[str]:
    """The quantities that it is made of, in the order in which they stand."""
    nodes = ast.walk(_parsed(formula))
    named = [node for node in nodes if isinstance(node, ast.Name) and node.id not in FUNCTIONS]
    return [node.id for node in sorted(named, key=lambda node: node.col_offset)]


def as_javascript(steps: Sequence[Step], known: Sequence[str]) -> str:
    """A function `reckon(known)` that does in a browser what `reckon` does here; `known` are the names it is given."""
    assignments = "\n".join(f"  const {step.name} = {step.formula};" for step in steps)
    names = ", ".join(step.name for step in steps)
    return (
        "function reckon(known) {\n"
        f"  const {{{', '.join(FUNCTIONS)}}} = Math;\n"
        f"  const {{{', '.join(known)}}} = known;\n"
        f"{assignments}\n"
        f"  return {{...known, {names}}};\n"
        "}"
    )


@functools.cache
def _parsed(formula: str) -> ast.expr:
    return ast.parse(formula, mode="eval").body


def _value(node: ast.expr, values: Mapping[str, float]) -> float:
    match node:
        case ast.Constant(value=int() | float() as number):
            return number
        case ast.Name(id=name):
            return values[name]
        case ast.BinOp(left=left, op=op, right=right):
            return _joined(op, _value(left, values), _value(right, values))
        case ast.Call(func=ast.Name(id=name), args=arguments) if name in FUNCTIONS:
            return FUNCTIONS[name](*(_value(argument, values) for argument in arguments))
        case _:
            raise ValueError(f"not in a formula: {ast.unparse(node)}")


def _joined(op: ast.operator, left: float, right: float) -> float:
    match op:
        case ast.Add():
            return left + right
        case ast.Sub():
            return left - right
        case ast.Mult():
            return left * right
        case ast.Div():
            return left / right
        case _:
            raise ValueError(f"not in a formula: {type(op).__name__}")
