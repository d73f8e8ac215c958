"""How the pages become a site: `make site`. Every warning is an error there, an unresolved link or anchor too."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "src"))

from folkmoot import __version__  # noqa: E402

project = "Folkmoot"
author = "The Folkmoot authors"
version = release = __version__

extensions = ["myst_parser"]
root_doc = "docs/site/index"
# Pages are read where people find them in the repository, so a link is the same here and there.
include_patterns = ["*.md", "docs/**", "spec/*.md", "bench/*.md"]
exclude_patterns = ["docs/site/extra"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}

myst_heading_anchors = 4
myst_enable_extensions = ["attrs_inline"]

html_theme = "furo"
html_title = f"Folkmoot {__version__}"
html_extra_path = ["extra"]
html_copy_source = False
html_show_sphinx = False
html_static_path: list[str] = []
# Nothing is fetched when it is built or read, and the same pages give the same files.
html_last_updated_fmt = None
os.environ.setdefault("SOURCE_DATE_EPOCH", "0")
