"""`folkmoot bench count`: what a message costs in instructions, beside what the last release cost."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from folkmoot.cli.connect import NOT_DONE, WRONG_USE, fail


def count(
    release: Annotated[
        Path | None, typer.Option(help="The file of a release to compare with; else bench/results/VERSION.json.")
    ] = None,
    renew: Annotated[
        bool, typer.Option("--renew", help="Write what was counted there: the new baseline of `make test`.")
    ] = False,
    comparison: Annotated[
        Path | None, typer.Option(help="With --renew: a file of bench compare whose figures are kept there too.")
    ] = None,
) -> None:
    """Instructions by callgrind: the same on a busy machine as on an idle one. Needs valgrind."""
    import msgspec

    from folkmoot import __version__
    from folkmoot.bench.comparison import Comparison
    from folkmoot.bench.counted import NAMES, NoValgrind, counted
    from folkmoot.bench.groups import GroupsRefused
    from folkmoot.bench.load import LoadBroken
    from folkmoot.bench.process import ChildFailed
    from folkmoot.bench.release import FOLDER, Release, read, with_comparison, with_counts, write
    from folkmoot.bench.report import shown

    file = release or FOLDER / f"{__version__}.json"
    try:
        kept = read(file) or Release(version=__version__)
        with tempfile.TemporaryDirectory(prefix="folkmoot-count-") as folder:
            now = counted(Path(folder))
        before = kept.like(now)
        for name, what in NAMES.items():
            beside = f", was {shown(getattr(before, name))}" if before else ""
            typer.echo(f"{what}: {shown(getattr(now, name))} rounds of the loop{beside}")
        if renew:
            kept = with_counts(kept, now)
            if comparison is not None:
                kept = with_comparison(kept, msgspec.json.decode(comparison.read_bytes(), type=Comparison))
            write(file, kept)
    except (NoValgrind, GroupsRefused, LoadBroken, ChildFailed) as error:
        fail(str(error), NOT_DONE)
    except (OSError, msgspec.DecodeError) as error:
        fail(f"{file}: {error}", WRONG_USE)
