"""A page to explore runs with: choose a problem, change n, walk through the tree of a search.

The page is one file that loads nothing: its data are packed inside, and its content security policy allows no script
but its own. What a model or a data set wrote reaches the page as text nodes, never as HTML.
"""

import base64
import gzip
import hashlib
import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.colors import to_hex

from tts_study import paths
from tts_study.plots.style import SCORE_COLORS, label_of

TEMPLATE = Path(__file__).with_name("explorer.html")
FRAME_HEIGHT = 960  # pixels of the page within a notebook


@dataclass(frozen=True)
class Explorer:
    """The page; a notebook shows it in a frame without access to the notebook around it."""

    page: str

    def save(self, name: str, folder: Path | None = None) -> Path:
        """Write figures/NAME.html, or NAME.html in another folder."""
        path = (folder or paths.figures()) / f"{name}.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.page, encoding="utf-8")
        return path

    def __repr__(self) -> str:
        """What is shown where a notebook's HTML is not, as on GitHub."""
        return "An interactive page: open the notebook in JupyterLab, or the saved .html file in a browser"

    def _repr_html_(self) -> str:
        return (
            '<iframe sandbox="allow-scripts" title="Explore the runs, problem by problem" loading="lazy" '
            f'style="width:100%;height:{FRAME_HEIGHT}px;border:1px solid #bbb" srcdoc="{html.escape(self.page)}">'
            "</iframe>"
        )


def explorer(data: Mapping[str, Any]) -> Explorer:
    """The page about what `tts_study.analysis.explorer_data` collected."""
    searches = [f"{label_of(one['strategy'])}, n = {one['n']}" for one in data["searches"]]
    labels = {rule: label_of(rule) for rule in ("majority", "best", "weighted")}
    colors = [to_hex(SCORE_COLORS(i / 20)) for i in range(21)]
    packed = json.dumps({**data, "searches": searches, "labels": labels, "colors": colors}, separators=(",", ":"))
    zipped = gzip.compress(packed.encode(), compresslevel=9, mtime=0)
    template = TEMPLATE.read_text(encoding="utf-8")
    script = re.search(r"<script>(.*?)</script>", template, re.DOTALL)
    assert script, "the template has one script"
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    return Explorer(template.replace("{{hash}}", digest).replace("{{data}}", base64.b64encode(zipped).decode()))
