"""Measures of a start: from the command to ready, on a store that is not in memory."""

import os
from pathlib import Path

from folkmoot.bench.run import Run
from folkmoot.bench.seed import seed_store
from folkmoot.bench.server import Server
from folkmoot.bench.stage import Stage


def start(stage: Stage) -> Run:
    """On a store of many groups that nobody reads."""
    plan = stage.plan
    # Filling it takes longer than all starts from it: one store for all runs.
    kept = stage.kept / f"start-{plan.groups_stored}"
    if not kept.exists():
        stage.say(f"filling a store with {plan.groups_stored:,} groups")
        data_dir = stage.folder / "data"
        seed_store(data_dir, groups=plan.groups_stored, members=plan.members, messages=1)
        data_dir.rename(kept)
    forget_cached(kept)
    server = Server(kept, cores=[plan.core_server], settings=plan.settings)
    try:
        ready_s = server.wait_ready()
        usage = server.usage()
    finally:
        server.stop()
    size_bytes = sum(path.stat().st_size for path in kept.iterdir())
    return Run(
        figures={
            "ready_s": ready_s,
            "ready_cpu_s": usage.cpu_s,
            "server_rss_bytes": float(usage.rss_bytes),
            "store_bytes": float(size_bytes),
        }
    )


def forget_cached(folder: Path) -> None:
    """Have the system forget what it holds of the files in memory, so that a start reads them from the disk."""
    for path in folder.iterdir():
        if path.is_file():
            file = os.open(path, os.O_RDONLY)
            try:
                os.fsync(file)
                os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(file)
