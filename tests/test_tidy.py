"""The house keeps its own rules: sizes, names, docstrings, test files, links, vectors, made pages, no addresses."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from folkmoot.protocol.events import ClientEvent, ServerEvent

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "folkmoot"
LINES_MAX = 600
FUNCTION_LINES_MAX = 70
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "manager"}

# Lists that may only shrink.
LONG_MODULES: set[str] = set()
LONG_FUNCTIONS: set[str] = set()
WITHOUT_TESTS: set[str] = {
    # Two lines, run by tests/cli/test_main.py.
    "cli/__main__.py",
    # Test tools, which the tests that use them test.
    "testing/edge.py", "testing/served.py",
}  # fmt: skip


def tracked(*patterns: str) -> list[Path]:
    """The files of the repository, those not yet added too."""
    # A checker's clone may be another user's, which git takes for a trap unless told otherwise.
    git = ["git", "-c", f"safe.directory={ROOT}"]
    command = [*git, "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [path for line in listed.splitlines() if (path := ROOT / line).is_file()]


def modules() -> list[Path]:
    return [path for path in tracked("src/*.py") if path.suffix == ".py"]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_no_module_is_too_long_to_read() -> None:
    long = {name(p) for p in modules() if len(p.read_text().splitlines()) > LINES_MAX}
    assert long == LONG_MODULES, f"over {LINES_MAX} lines: find the second noun in it and give it a file of its own"


def test_no_function_is_too_long_to_read() -> None:
    long = set()
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES_MAX:
                    long.add(f"{name(path)}:{node.name}")
    assert long == LONG_FUNCTIONS, f"over {FUNCTION_LINES_MAX} lines: give its parts names"


def test_every_module_opens_by_saying_what_it_is_for() -> None:
    silent = [name(p) for p in modules() if not ast.get_docstring(ast.parse(p.read_text()))]
    assert silent == [], "open it with one sentence: what is it for?"


def test_every_module_has_a_test_file_of_its_own_name() -> None:
    missing = set()
    for path in modules():
        inside = path.relative_to(SOURCE)
        if path.name == "__init__.py":
            continue
        if not (ROOT / "tests" / inside.parent / f"test_{inside.name}").exists():
            missing.add(str(inside))
    assert missing - WITHOUT_TESTS == set(), "add tests/<folder>/test_<module>.py"
    assert WITHOUT_TESTS - missing == set(), "these have tests now: take them off the list, which may only shrink"


def test_no_file_or_folder_has_a_name_that_says_nothing() -> None:
    named = [name(p) for p in tracked() if FORBIDDEN_NAMES & {part.split(".")[0] for part in p.relative_to(ROOT).parts}]
    assert named == [], "name it after the noun it holds"


def test_every_link_in_markdown_resolves() -> None:
    broken = []
    for path in tracked("*.md"):
        for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
            if re.match(r"[a-z]+:", target) or target.startswith("#"):
                continue
            if not (path.parent / target.partition("#")[0]).exists():
                broken.append(f"{name(path)} -> {target}")
    assert broken == [], "mend the link, or write the page"


def test_every_file_that_a_page_names_is_there() -> None:
    missing = []
    for path in tracked("*.md"):
        for named in re.findall(r"`([a-z_]+(?:/[a-z_.]+)*/[a-z_]+\.(?:py|md|toml|json|txt|sql))`", path.read_text()):
            if not any((root / named).exists() for root in (ROOT, SOURCE, path.parent)):
                missing.append(f"{name(path)}: {named}")
    assert missing == [], "it has moved, or has another name: mend the page"


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, waiting = set[Path](), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        reached.add(page)
        for target in re.findall(r"\]\(([^)\s#]+\.md)[^)]*\)", page.read_text()):
            linked = (page.parent / target).resolve()
            if linked not in reached and linked.is_file():
                waiting.append(linked)
    lost = [name(p) for p in tracked("*.md") if p.resolve() not in reached and "data" not in p.parts]
    assert lost == [], "link to it from the README or from a page that is reached from there"


def test_every_package_is_on_the_map() -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text()
    packages = {path.relative_to(SOURCE).parts[0] for path in modules() if path.parent != SOURCE}
    lost = {package for package in packages if not re.search(rf"`(src/folkmoot/)?{package}`", page)}
    assert lost == set(), "add it to the code map of ARCHITECTURE.md"


def test_every_dependency_has_an_exact_version_and_no_address() -> None:
    lines = (ROOT / "constraints" / "all.txt").read_text().splitlines()
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line)] == []
    pinned = {_normal(line.partition("==")[0]) for line in lines}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    asked = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    asked += [one for extra in project["project"]["optional-dependencies"].values() for one in extra]
    unpinned = {one for one in asked if _normal(re.split(r"[<>=\[; ]", one)[0]) not in pinned}
    assert unpinned == set(), "add what `pip freeze` says of it to constraints/all.txt"


def _normal(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def test_every_event_has_a_vector() -> None:
    tags = {event.__struct_config__.tag for union in (ClientEvent, ServerEvent) for event in union.__args__}
    vectors = {json.loads(path.read_text())["event"] for path in (ROOT / "spec" / "vectors").glob("*.json")}
    assert {str(tag) for tag in tags} - vectors == set(), "add spec/vectors/<event>.json"


def test_generated_pages_are_what_the_code_says() -> None:
    done = subprocess.run(
        [sys.executable, "tools/reference.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"run `make docs`: {done.stdout}{done.stderr}"


@pytest.mark.parametrize(
    ("needle", "why"),
    [
        ("pypi" + ".org", "no address of a registry in any file"),
        ("pythonhosted" + ".org", "no address of a registry in any file"),
        ("registry." + "npmjs", "no address of a registry in any file"),
        ("repo1." + "maven", "no address of a registry in any file"),
        ("crates" + ".io", "no address of a registry in any file"),
        ("proxy." + "golang", "no address of a registry in any file"),
        ("deb." + "debian", "no address of a registry in any file"),
        ("/work" + "/main", "no path of one machine in any file"),
        ("/work" + "/shared", "no path of one machine in any file"),
        ("/root" + "/", "no path of one machine in any file"),
        ("/tmp" + "/", "no path of one machine in any file"),
        ("TO" + "DO", "do it, or write it down where users can see it"),
        ("FIX" + "ME", "do it, or write it down where users can see it"),
    ],
)
def test_no_file_holds(needle: str, why: str) -> None:
    data = ROOT / "tests" / "data"
    found = [name(p) for p in tracked() if data not in p.parents and needle in p.read_text(errors="replace")]
    assert found == [], why
