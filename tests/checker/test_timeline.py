"""The page of a failed run stands alone, says what was wrong, and shows no markup that came from a message."""

import msgspec

from folkmoot.checker.laws import Violation
from folkmoot.checker.timeline import page, plan_json
from folkmoot.testing.plan import Fault, Plan, Step, small_plan
from folkmoot.testing.simulation import run_plan


def test_the_page_tells_the_story_and_loads_nothing() -> None:
    plan = small_plan(faults=(Fault(at_s=1.0, kind="kill", target="router-1", lasts_s=0.5, steps=1),))
    evil = Step(at_s=0.6, who="user-1/phone", what="say", group="g", send_id="evil", text="<script>alert(1)</script>")
    plan.steps.append(evil)
    text = page(run_plan(plan), [Violation("gap", "user-1/phone lacks 7")], "folkmoot check simulate --seed 1")
    for piece in (
        "user-1/phone lacks 7",
        "--seed 1",
        "kill begins",
        "is told: accepted",
        "applies message",
        "router-1",
    ):
        assert piece in text
    assert "<script>alert" not in text
    assert "http" not in text.replace("http-equiv", "")


def test_the_plan_that_is_kept_is_the_plan() -> None:
    plan = small_plan()
    assert msgspec.json.decode(plan_json(run_plan(plan)), type=Plan) == plan
