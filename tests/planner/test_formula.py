"""A formula has one meaning: what is printed is what is reckoned, and nothing but arithmetic gets in."""

import pytest

from folkmoot.planner.formula import Step, as_javascript, names_in, reckon


def step(name: str, formula: str) -> Step:
    return Step(name, formula, "", "")


def test_each_step_builds_on_those_before() -> None:
    values = reckon([step("b", "a * 2 + 1"), step("c", "ceil(b / 2) - pow(a, 2)")], {"a": 3.0})
    assert values == {"a": 3.0, "b": 7.0, "c": 4 - 9}


def test_the_larger_and_the_smaller() -> None:
    assert reckon([step("b", "max(a, 5, 1) * min(a, 5)")], {"a": 3.0})["b"] == 15


@pytest.mark.parametrize("formula", ["a ** 2", "a // 2", "open(a)", "a.real", "[a]", "'text'", "-a", "a if a else 1"])
def test_what_the_page_would_read_otherwise_is_not_a_formula(formula: str) -> None:
    with pytest.raises(ValueError, match="not in a formula"):
        reckon([step("b", formula)], {"a": 1.0})


def test_a_name_that_is_not_known_yet_is_an_error() -> None:
    with pytest.raises(KeyError):
        reckon([step("b", "c"), step("c", "1")], {})


def test_names_stand_in_their_order_and_functions_are_none() -> None:
    assert names_in("max(b, a) / (c * b)") == ["b", "a", "c", "b"]


def test_javascript_has_the_same_text() -> None:
    script = as_javascript([step("b", "max(a, 2)")], ["a"])
    assert "  const b = max(a, 2);" in script
    assert "const {ceil, max, min, pow} = Math;" in script
    assert "return {...known, b};" in script
