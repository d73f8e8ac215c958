"""The pages as a site: built strictly, every page in it, and no link of it that leads nowhere, anchors too."""

import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parent.parent


class Page(HTMLParser):
    """The links of a page, what it loads, and the anchors that it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if "id" in given:
            self.anchors.add(given["id"])
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if "src" in given or (tag == "link" and given.get("rel") in ("stylesheet", "icon")):
            self.loads.append(given.get("src") or given["href"])


def build(source: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """As `make site` does. No proxy leads anywhere: what is fetched is a failure."""
    nowhere = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-n", "-c", str(source / "docs" / "site")]
    return subprocess.run(
        [*command, "-b", "html", "-d", str(site / "doctrees"), str(source), str(site / "html")],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | nowhere,
    )


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Page]:
    site = tmp_path_factory.mktemp("site")
    done = build(ROOT, site)
    assert done.returncode == 0, f"mend the page: {done.stderr}"
    found = {path.relative_to(site / "html"): Page(path.read_text()) for path in (site / "html").rglob("*.html")}
    assert found
    return found


def test_every_page_is_in_the_site(pages: dict[Path, Page]) -> None:
    sources = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "spec").glob("*.md")]
    missing = {path.relative_to(ROOT).with_suffix(".html") for path in sources} - set(pages)
    assert missing == set()


def test_every_link_leads_to_a_page_and_every_anchor_is_on_it(pages: dict[Path, Page]) -> None:
    broken = []
    files = {path.as_posix() for path in pages}
    for path, page in pages.items():
        for link in page.links:
            target = urlsplit(link)
            if target.scheme or target.path.startswith("/") or "_downloads/" in link:
                continue
            led = Path(os.path.normpath(path.parent / unquote(target.path))) if target.path else path
            if led.as_posix() not in files:
                broken.append(f"{path}: {link}")
            elif target.fragment and unquote(target.fragment) not in pages[led].anchors:
                broken.append(f"{path}: {link}: no such anchor")
    assert broken == []


def test_nothing_is_loaded_from_elsewhere(pages: dict[Path, Page]) -> None:
    assert {load for page in pages.values() for load in page.loads if urlsplit(load).netloc} == set()


@pytest.mark.parametrize(
    "fault", ["[x](docs/nowhere.md)", "[x](#no-such-heading)", "[x](spec/protocol.md#no-such-heading)"]
)
def test_a_link_that_leads_nowhere_fails_the_build(tmp_path: Path, fault: str) -> None:
    (tmp_path / "docs" / "site" / "extra").mkdir(parents=True)
    (tmp_path / "spec").mkdir()
    conf = (ROOT / "docs" / "site" / "conf.py").read_text()
    (tmp_path / "docs" / "site" / "conf.py").write_text(conf)
    (tmp_path / "docs" / "site" / "index.rst").write_text(".. toctree::\n\n   /README\n   /spec/protocol\n")
    (tmp_path / "spec" / "protocol.md").write_text("# Protocol\n")
    (tmp_path / "README.md").write_text("# Read me\n\n[the protocol](spec/protocol.md#protocol)\n")
    assert build(tmp_path, tmp_path / "good").returncode == 0
    (tmp_path / "README.md").write_text(f"# Read me\n\n{fault}\n")
    assert "xref_missing" in build(tmp_path, tmp_path / "bad").stderr
