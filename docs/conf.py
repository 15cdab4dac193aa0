"""How Sphinx builds these pages: MyST for Markdown, furo for the looks, nothing from a network.

pip install -e ".[docs]"
python -m sphinx -W -b html docs build/docs
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pygments.lexers.special import TextLexer

_PACKAGE = Path(__file__).parent.parent / "src" / "locara" / "__init__.py"
_VERSION = re.search(r'^__version__ = "(.+)"$', _PACKAGE.read_text(encoding="utf-8"), re.MULTILINE)

project = "Locara"
author = "The Locara authors"
project_copyright = "The Locara authors, Apache-2.0"
release = version = _VERSION[1] if _VERSION else ""

extensions = ["myst_parser"]
exclude_patterns = ["build"]
myst_heading_anchors = 3
nitpicky = True

html_theme = "furo"
html_title = f"Locara {release}"
html_show_sourcelink = False


def setup(app: Any) -> None:
    """Mermaid is shown as text here: drawing it would need a script from elsewhere. The pictures say the same."""
    app.add_lexer("mermaid", TextLexer)
