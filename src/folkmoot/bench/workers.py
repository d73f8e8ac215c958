"""`serve --workers` as the server that is measured: what its processes cost, all together and by what each is."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from folkmoot.bench.server import Server
from folkmoot.bench.usage import Usage, usage_of, usages_added

ROLES: Final = ("gateway", "router", "bus")
"""As told apart here: gateways; the process that routes, delivers and writes the store; NATS."""


class Workers(Server):
    """`serve --workers`: its processes count one by one."""

    def __init__(
        self, data_dir: Path, *, gateways: int, cores: Collection[int], settings: Mapping[str, object]
    ) -> None:
        super().__init__(data_dir, cores=cores, settings=settings, options=("--workers", str(gateways)))

    def cpu_s(self) -> dict[str, float]:
        """CPU seconds so far of each of ROLES."""
        found = dict.fromkeys(ROLES, 0.0)
        for pid in children_of(self.pid):
            role = role_of((Path("/proc") / str(pid) / "cmdline").read_bytes().split(b"\0"))
            found[role] += usage_of(pid).cpu_s
        return found

    def usage(self) -> Usage:
        """Of all its processes together."""
        return usages_added(usage_of(pid) for pid in (self.pid, *children_of(self.pid)))


def children_of(pid: int, proc: Path = Path("/proc")) -> list[int]:
    """The processes that it started and that are there."""
    found = []
    for its in proc.iterdir():
        if its.name.isdigit():
            try:
                stat = (its / "stat").read_text()
            except OSError:
                continue
            # The name in parentheses may hold anything.
            if int(stat.rpartition(")")[2].split()[1]) == pid:
                found.append(int(its.name))
    return sorted(found)


def role_of(command: list[bytes]) -> str:
    """Which of ROLES a process is by its command line."""
    if b"roles=gateway" in command:
        return "gateway"
    return "router" if any(word.startswith(b"roles=") for word in command) else "bus"
