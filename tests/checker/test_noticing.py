"""The first log line of a loss, or of a gain, of any process, and none from before."""

import json
from pathlib import Path

from folkmoot.checker.noticing import Logs


def line(event: str, second: int, **more: object) -> str:
    return json.dumps({"event": event, "timestamp": f"2026-01-02T03:04:{second:02}.500000Z", **more}) + "\n"


def test_the_first_process_that_said_so_since_then_counts(tmp_path: Path) -> None:
    logs = {name: tmp_path / name for name in ("a", "b", "c")}
    view = {"role": "router"}
    logs["a"].write_text(line("who lives has changed", 1, before=2, now=1, **view))
    noticed = Logs(logs)
    with logs["a"].open("a") as words:
        words.write("not JSON\n")
        words.write(line("who lives has changed", 9, before=2, now=1, **view))
        words.write(line("who lives has changed", 20, before=1, now=2, **view))
    # A file that is there only later is read from its start.
    logs["b"].write_text(
        line("who lives has changed", 5, before=2, now=1, role="gateway")
        + line("who lives has changed", 7, before=2, now=1, **view)
        + line("bus cut", 12)
        + line("bus back", 14)
    )
    assert noticed.first_loss_ms("router") == 1_767_323_047_500.0
    assert noticed.first_gain_ms("router") == 1_767_323_060_500.0
    assert noticed.first_loss_ms("nats") == 1_767_323_052_500.0
    assert noticed.first_gain_ms("nats") == 1_767_323_054_500.0
    assert noticed.first_loss_ms("delivery") is None
