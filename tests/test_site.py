"""The site: every committed page is in it, no link is broken, and a real browser shows it without a complaint."""

import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from browser import browser_tabs

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


class Page(HTMLParser):
    """The links, ids and images of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.images: list[dict[str, str | None]] = []
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.ids |= {value for name, value in found.items() if name in ("id", "name") and value}
        self.links += [found[name] for name in ("href", "src") if found.get(name)]
        if tag == "img":
            self.images.append(found)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-c", "docs/site", ".", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out


def test_every_page_can_be_reached_from_the_first_one_and_no_link_is_broken(site):
    pages: dict[Path, Page] = {}
    broken, waiting = [], [site / "index.html"]
    while waiting:
        path = waiting.pop()
        if path in pages:
            continue
        pages[path] = Page(path)
        for link in [*pages[path].links, *(["README.html"] if path.name == "index.html" else [])]:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or not parts.path:
                continue
            target = (path.parent / unquote(parts.path)).resolve()
            if not target.is_file():
                broken.append(f"{path.relative_to(site)}: {link}")
            elif target.suffix == ".html":
                waiting.append(target)
    anchors = [
        f"{path.relative_to(site)}: {link}"
        for path, page in pages.items()
        for link in page.links
        if (parts := urlsplit(link)).fragment and not parts.scheme
        and (target := (path.parent / unquote(parts.path)).resolve() if parts.path else path) in pages
        and unquote(parts.fragment) not in pages[target].ids
    ]  # fmt: skip
    assert broken == [] and anchors == []
    assert {f"notebooks/{each.stem}.html" for each in NOTEBOOKS} <= {str(path.relative_to(site)) for path in pages}


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_each_figure_of_a_notebook_has_a_caption_and_an_alternative_text(site, notebook):
    path = site / "notebooks" / f"{notebook.stem}.html"
    figures = [image for image in Page(path).images if "_images" in (image.get("src") or "")]
    assert figures and all((image.get("alt") or "").strip() for image in figures)
    assert path.read_text().count("<figcaption>") == len(figures)


def test_a_browser_shows_the_pages_at_two_widths_without_a_fault_or_a_page_that_scrolls_sideways(site):
    with browser_tabs() as open_tab:
        for width in (1400, 800):
            for page in ("README", "notebooks/00_walkthrough", "notebooks/02_weighted_best_of_n", "docs/answers"):
                tab = open_tab(width)
                tab.page.goto((site / f"{page}.html").as_uri())
                wider = tab.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
                assert (page, width, wider, tab.faults) == (page, width, 0, [])
                assert all(url.startswith(("file:", "data:", "about:", "blob:")) for url in tab.requests), tab.requests
                tab.page.close()


def test_no_table_scrolls_sideways_at_800_pixels(site):
    wider = """[...document.querySelectorAll("table.dataframe, .pst-scrollable-table-container")]
        .filter(table => table.scrollWidth > table.clientWidth + 1).map(table => table.innerText.slice(0, 60))"""
    with browser_tabs() as open_tab:
        tab = open_tab(800)
        wide = (site / f"{name}.html" for name in ("docs/claims", "docs/gpu", "docs/models", "data/micro/prm/README"))
        for page in [*site.glob("notebooks/*.html"), *wide]:
            tab.page.goto(page.as_uri())
            assert tab.page.evaluate(wider) == [], page.name


def test_a_search_finds_the_notebook_in_which_a_word_stands(site):
    with browser_tabs() as open_tab:
        tab = open_tab()
        tab.page.goto((site / "search.html").as_uri() + "?q=subtrees")
        tab.page.wait_for_selector("#search-results li a")
        found = tab.page.eval_on_selector_all("#search-results li a", "all => all.map(each => each.href)")
        assert any("04_dvts" in each for each in found)
