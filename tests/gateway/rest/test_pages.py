"""The page on which calls can be tried, and the document it reads: whole, and with nothing from elsewhere."""

import asyncio
import re
from pathlib import Path

from folkmoot import __version__
from folkmoot.gateway.rest.document import document
from folkmoot.gateway.rest.pages import POLICY
from folkmoot.testing.served import served


def test_the_document_is_served_to_whoever_asks(tmp_path: Path) -> None:
    async def run() -> None:
        async with served(tmp_path) as server, server.rest(token="") as rest:
            answer = await rest.get("/openapi.json")
            assert answer.headers["content-type"] == "application/json"
            assert answer.json() == document(__version__)

    asyncio.run(run())


def test_the_page_loads_only_what_is_served_here(tmp_path: Path) -> None:
    async def run() -> None:
        async with served(tmp_path) as server, server.rest(token="") as rest:
            page = await rest.get("/docs")
            assert page.headers["content-type"] == "text/html; charset=utf-8"
            assert page.headers.get_list("content-security-policy") == [POLICY]
            assert "unsafe" not in POLICY
            named = re.findall(r'(?:src|href)="([^"]+)"', page.text)
            assert set(named) == {"docs/docs.css", "docs/docs.js", "openapi.json"}
            for name in named:
                answer = await rest.get(f"/{name}")
                assert answer.status_code == 200
                assert not re.search(r"https?://|@import|\burl\(", answer.text) or name == "openapi.json"
            script = (await rest.get("/docs/docs.js")).text
            assert "innerHTML" not in script
            assert not re.search(r"\bon\w+=|style=", page.text)

    asyncio.run(run())
