"""What outlives a memory store: the writes that were synced, and nothing else."""

from folkmoot.ports.accounts import ApiKey, Profile, Standing
from folkmoot.ports.store import MovedPointer, Write
from folkmoot.ports.transfer import Custody


class Disk:
    """Records in the order in which they were synced. A crash drops a store; a new one is made from the same disk."""

    def __init__(self, *, epoch: int = 1) -> None:
        self.epoch = epoch
        self.records: list[Write | MovedPointer] = []
        self.accounts: list[Profile | Standing | ApiKey] = []
        self.custody = Custody()
        self.away = False
        self.full = False

    def sync(self, *records: Write | MovedPointer) -> None:
        """Keep `records`, all or none."""
        self.records.extend(records)

    def copied(self) -> "Disk":
        """This disk as it is now, as a backup would hold it."""
        copy = Disk(epoch=self.epoch)
        copy.records = list(self.records)
        copy.accounts = list(self.accounts)
        copy.custody = self.custody
        return copy
