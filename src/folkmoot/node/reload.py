"""Settings read again while the process runs: what can change at once does, and the rest is named."""

import logging
from collections.abc import Callable

import msgspec

from folkmoot.node.config import Settings, SettingsError, changes_live

_log = logging.getLogger(__name__)


class Reloading:
    """The settings in force. `on_reload` are told of them at each reload, in order, also where none has changed.

    `reread` gives them anew from where they came at the start, and raises SettingsError where that cannot be.
    """

    def __init__(self, settings: Settings, reread: Callable[[], Settings]) -> None:
        self.settings = settings
        self.on_reload: list[Callable[[Settings], None]] = []
        self._reread = reread

    def reload(self) -> None:
        """Read the settings and go on with them; a fault of theirs leaves the old ones. Never raises."""
        try:
            wanted = self._reread()
        except SettingsError as error:
            _log.error("the settings cannot be read, the old ones stay", extra={"detail": str(error)})
            return
        old = self.settings
        changed = [name for name in Settings.__struct_fields__ if getattr(old, name) != getattr(wanted, name)]
        live = [name for name in changed if changes_live(name)]
        later = [name for name in changed if name not in live]
        self.settings = msgspec.structs.replace(old, **{name: getattr(wanted, name) for name in live})
        for tell in self.on_reload:
            try:
                tell(self.settings)
            except Exception:
                _log.exception("a part did not take the new settings")
        # Names only: what they were set to may be a secret.
        _log.info("settings read again", extra={"changed": live})
        if later:
            _log.warning("these settings need a restart", extra={"settings": later})
