"""Measures of what is read: pages of history, and the lists that an application opens with."""

from typing import Final

from folkmoot.bench.run import Run
from folkmoot.bench.seed import seed_store
from folkmoot.bench.stage import Stage
from folkmoot.bench.window import curve_of, refusals_of, times_of

MESSAGES: Final = 20
"""In each group of a user who is in many."""


def history(stage: Stage) -> Run:
    """Pages at places drawn at random, forwards and backwards."""
    plan = stage.plan
    stage.say(f"filling {plan.groups} logs with {plan.log_entries:,} entries each")
    ids = seed_store(
        stage.folder,
        groups=plan.groups,
        members=plan.members,
        messages=plan.log_entries - 1,
        text_bytes=plan.text_bytes,
    )
    stored = sum(path.stat().st_size for path in stage.folder.iterdir())
    with stage.server() as server:
        job = stage.job(server, traffic="reads" if plan.door == "socket" else "rest_reads", ids=ids)
        with stage.up(job) as fleet:
            window = stage.watch(server, fleet)
    tally = window.tally
    run = Run(figures=window.conditions(), refusals=refusals_of(window))
    run.series = {"forwards": curve_of(tally.forwards), "backwards": curve_of(tally.backwards)}
    if tally.entries_read != tally.accepted * plan.page_entries:
        run.refusals.append(f"{tally.entries_read} entries came in {tally.accepted} pages of {plan.page_entries}")
    if not run.refusals:
        run.figures |= {
            "pages_per_s": tally.in_window / window.seconds,
            "pages_per_cpu_s": tally.in_window / window.cpu_s,
            "page_bytes": float(tally.frame_bytes),
            "store_bytes_per_entry": stored / (plan.groups * plan.log_entries),
        }
        run.figures |= times_of("forwards", tally.forwards) | times_of("backwards", tally.backwards)
    return run


def lists(stage: Stage) -> Run:
    """Chats with what is unread, and the list of groups, of users who are in many."""
    plan = stage.plan
    stage.say(f"filling {plan.groups_stored:,} groups of the same {plan.members}")
    seed_store(stage.folder, groups=plan.groups_stored, members=plan.members, messages=MESSAGES, same_users=True)
    with stage.server() as server, stage.up(stage.job(server, traffic="rest_lists", ids=["all"])) as fleet:
        window = stage.watch(server, fleet)
    tally = window.tally
    run = Run(figures=window.conditions(), refusals=refusals_of(window))
    run.series = {"chats": curve_of(tally.forwards), "groups": curve_of(tally.backwards)}
    if not run.refusals:
        run.figures |= {
            "lists_per_s": tally.in_window / window.seconds,
            "lists_per_cpu_s": tally.in_window / window.cpu_s,
        }
        run.figures |= times_of("chats", tally.forwards) | times_of("groups", tally.backwards)
    return run
