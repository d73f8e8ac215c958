"""A few refusals a minute for each sender in each group, and a bound on how many senders are remembered."""

from folkmoot.router.refusals import SENDERS_MAX, RefusalBudget


def test_a_budget_is_spent_and_comes_back_evenly() -> None:
    budget = RefusalBudget(10)
    assert budget.left("g", "u", 0.0) == 10
    budget.spend("g", "u", 10, 0.0)
    assert budget.left("g", "u", 0.0) == 0
    assert budget.left("g", "u", 6.1) == 1
    assert budget.left("g", "u", 60.0) == 10
    assert budget.left("g", "u", 6_000.0) == 10


def test_senders_and_groups_have_budgets_of_their_own() -> None:
    budget = RefusalBudget(3)
    budget.spend("g", "u", 3, 0.0)
    assert (budget.left("g", "v", 0.0), budget.left("h", "u", 0.0)) == (3, 3)


def test_the_sender_longest_untouched_is_forgotten_first() -> None:
    budget = RefusalBudget(1)
    for n in range(SENDERS_MAX + 1):
        budget.spend("g", str(n), 1, 0.0)
    assert budget.left("g", "0", 0.0) == 1
    assert budget.left("g", "1", 0.0) == 0
