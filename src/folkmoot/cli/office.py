"""What verbs of an operator share: requests to a running server, with the server's secret or an API key."""

import http.client
import json
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote, urlencode, urlsplit

import typer

from folkmoot.cli.connect import NO_SERVER, URL_DEFAULT, WRONG_USE, CaFile, DataDir, Url, fail

ANSWER_S_MAX: Final = 30.0
TOKEN_LIFETIME_S: Final = 60
OPERATOR: Final = "operator"
ROWS: Final = 500

ApiKeyText = Annotated[
    str,
    typer.Option("--key", envvar="FOLKMOOT_API_KEY", help="An API key, instead of --data-dir.", show_default=False),
]


class Office:
    """Where the server is, and by what right one asks.

    Python's own HTTP is enough for a request or two; it follows no redirects, which would hand the key to another.
    """

    def __init__(
        self,
        url: Url = URL_DEFAULT,
        key: ApiKeyText = "",
        data_dir: DataDir = Path("data"),
        ca_file: CaFile = None,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or parts.query:
            fail(f"{url!r} is not the address of a server: http://host:port", WRONG_USE)
        self.url = url
        self._trusting = _trusting(ca_file) if parts.scheme == "https" else None
        self._netloc = parts.netloc
        self._path = parts.path.rstrip("/")
        self._credential = key or _operators_token(data_dir)

    def ask(self, method: str, *path: str, body: object = None, **query: object) -> Any:
        """The JSON that a request is answered with; a problem ends the command with one line and a status."""
        address = "/".join((self._path, "v1", *(quote(part, safe="") for part in path)))
        if query:
            address += "?" + urlencode(query)
        headers = {"Authorization": f"Bearer {self._credential}", "Accept": "application/json"}
        content = None if body is None else json.dumps(body).encode()
        if content is not None:
            headers["Content-Type"] = "application/json"
        connection = self._connection()
        try:
            connection.request(method, address, content, headers)
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            fail(f"cannot reach {self.url}: {error}", NO_SERVER)
        finally:
            connection.close()
        try:
            found = json.loads(text) if text else {}
        except ValueError:
            fail(f"{self.url} answered {answer.status} and no JSON: is it a Folkmoot server?")
        if answer.status >= 300:
            _fail_with(found if isinstance(found, dict) else {}, answer.status)
        return found

    def _connection(self) -> http.client.HTTPConnection:
        if self._trusting is None:
            return http.client.HTTPConnection(self._netloc, timeout=ANSWER_S_MAX)
        return http.client.HTTPSConnection(self._netloc, timeout=ANSWER_S_MAX, context=self._trusting)

    def pages(self, noun: str) -> Iterator[dict[str, Any]]:
        """The rows of a list, page by page."""
        after = ""
        while True:
            page = self.ask("GET", noun, after=after, limit=ROWS)
            yield from page[noun]
            if page["next"] is None:
                return
            after = page["next"]


def as_time(ms: int | None) -> str:
    """A time for people: UTC, to the second, or nothing."""
    return "" if not ms else time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(ms / 1_000))


def _trusting(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        fail(f"{ca_file}: no certificate of an authority ({error.strerror or error})", WRONG_USE)


def _fail_with(problem: dict[str, Any], status: int) -> None:
    from folkmoot.protocol.errors import CODES

    code, detail = str(problem.get("code", status)), str(problem.get("detail", ""))
    meaning = CODES[code].meaning if code in CODES else str(problem.get("title", ""))
    fail(f"{code}: {detail or meaning}")


def _operators_token(data_dir: Path) -> str:
    """Whoever can read the server's secret is its operator: a token for a minute."""
    from folkmoot.gateway.identity import SECRET_FILE, SecretUnsafe, mint, secret_of

    if not (data_dir / SECRET_FILE).exists():
        fail(
            f"{data_dir} has no secret: give the server's --data-dir on its machine, or an API key (FOLKMOOT_API_KEY)",
            WRONG_USE,
        )
    try:
        secret = secret_of(data_dir)
    except (OSError, SecretUnsafe) as error:
        fail(str(error), WRONG_USE)
    now_ms = time.time_ns() // 1_000_000
    return mint(secret, OPERATOR, lifetime_s=TOKEN_LIFETIME_S, now_ms=now_ms, operator=True)
