"""The server that is measured: `folkmoot serve` as a child, pinned, with the bounds out of the load's way."""

import http.client
import json
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

from folkmoot.bench.process import Child, ChildFailed, python
from folkmoot.gateway.identity import secret_of

READY_S_MAX: Final = 60.0
ANSWER_S_MAX: Final = 10.0

SETTINGS: Final[Mapping[str, object]] = {
    "sends_per_s": 1_000_000,
    "sends_burst": 1_000_000,
    "events_per_s": 1_000_000,
    "events_burst": 1_000_000,
    "requests_per_s": 1_000_000,
    "requests_burst": 1_000_000,
    "drain_spread_s": 0,
    "log_level": "warning",
    "metrics_open": True,
}
"""What differs from the defaults: rates that a load on few sockets would meet, the time a stop may take, and that its
counts are read without a key."""


class Server(Child):
    """Started at once; `wait_ready` before anything else. `under`: the words of a program that runs it, to watch it."""

    ready_s_max = READY_S_MAX

    def __init__(
        self,
        data_dir: Path,
        *,
        cores: Collection[int],
        settings: Mapping[str, object] | None = None,
        options: Sequence[str] = (),
        port: int = 0,
        under: Sequence[str] = (),
    ) -> None:
        self._data_dir = data_dir
        self._began_s = time.monotonic()
        self.settings = dict(SETTINGS) | dict(settings or {})
        self.host, self.port = "127.0.0.1", 0
        set_so = [f"--set={name}={value}" for name, value in self.settings.items()]
        command = python("folkmoot.cli", "serve", "--json", "--stop-with-stdin", "--port", str(port), "--data-dir")
        words = [*under, *command, str(data_dir), *options, *set_so]
        super().__init__(words, cores=cores, log=data_dir / "server.log")

    def wait_ready(self) -> float:
        """Return once it takes sends: how long that took since it was started, in seconds. Raises ChildFailed."""
        line = self.hear(self.ready_s_max)
        seconds = time.monotonic() - self._began_s
        try:
            self.port = int(json.loads(line)["ready"].rpartition(":")[2])
        except (ValueError, KeyError, TypeError):
            raise ChildFailed(line.decode("utf-8", "replace")) from None
        return seconds

    @property
    def secret(self) -> str:
        return secret_of(self._data_dir).decode()

    def counts(self) -> dict[str, float]:
        """What `/metrics` says: by name, those without labels."""
        return counts_at(self.host, self.port)


def counts_at(host: str, port: int) -> dict[str, float]:
    """What `/metrics` there says: by name, those without labels. Raises ChildFailed where it does not answer."""
    connection = http.client.HTTPConnection(host, port, timeout=ANSWER_S_MAX)
    try:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    except (OSError, http.client.HTTPException) as error:
        raise ChildFailed(f"what the server counted could not be read: {error}") from error
    finally:
        connection.close()
    return counts_of(text)


def counts_of(exposition: str) -> dict[str, float]:
    """The samples of Prometheus' text format that have no labels."""
    found = {}
    for line in exposition.splitlines():
        name, _, value = line.partition(" ")
        if not line.startswith("#") and "{" not in name and value:
            found[name] = float(value)
    return found
