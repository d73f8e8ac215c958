"""A server that kills itself at a fail point: FAIL_AT names it, FAIL_EVERY says at which passing, again and again."""

import asyncio
import json
import os
import signal
import sys

from folkmoot.node.config import load_settings
from folkmoot.node.lifecycle import serve
from folkmoot.telemetry.logs import configure


class Failing:
    """Counts the passings of one fail point, and dies at the last."""

    def __init__(self, at: str, every: int) -> None:
        self._at = at
        self._left = every

    async def __call__(self, point: str) -> None:
        if point != self._at:
            return
        self._left -= 1
        if self._left == 0:
            if point == "answered":
                # Long enough for the answer to leave this process: it is known, and the entry not published.
                await asyncio.sleep(0.05)
            os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    options = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=True))
    configure(level="warning", as_json=True)
    settings = load_settings({"port": int(options["--port"]), "data_dir": options["--data-dir"]}, {}, None)
    failing = Failing(os.environ["FAIL_AT"], int(os.environ["FAIL_EVERY"]))
    asyncio.run(serve(settings, on_ready=lambda url: print(json.dumps({"ready": url}), flush=True), fail_point=failing))


if __name__ == "__main__":
    main()
