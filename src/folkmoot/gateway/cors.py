"""Which pages of other origins may use the HTTP side from a browser: those that may open a WebSocket."""

from collections.abc import Sequence
from typing import Final

from litestar.config.cors import CORSConfig
from litestar.types import Method

METHODS: Final[tuple[Method, ...]] = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")
HEADERS_ALLOWED: Final = ("Authorization", "Content-Type", "Folkmoot-User", "Idempotency-Key", "Last-Event-ID")
HEADERS_EXPOSED: Final = ("Retry-After",)


class Cors(CORSConfig):
    """Litestar's rules, with origins that change while serving. No cookies: a page sends its token itself.

    Pages of the server's own host need no permission: browsers ask for none.
    """

    def __init__(self, origins: Sequence[str]) -> None:
        super().__init__(
            allow_origins=list(origins),
            allow_methods=list(METHODS),
            allow_headers=list(HEADERS_ALLOWED),
            allow_credentials=False,
            expose_headers=list(HEADERS_EXPOSED),
        )

    def apply(self, origins: Sequence[str]) -> None:
        """Allow these origins from now on."""
        self.allow_origins = list(origins)
        for made_of_them in ("allowed_origins_regex", "is_allow_all_origins", "preflight_headers", "simple_headers"):
            self.__dict__.pop(made_of_them, None)
