"""The site: `make site` builds README, notebooks and docs, as committed, into out/site. Nothing is executed."""

from docutils import nodes

project = "tts-study"
author = "the tts-study authors"
copyright = f"{author}, Apache-2.0"
extensions = ["myst_nb", "sphinx-mathjax-offline"]  # MathJax comes along: a page needs no network
root_doc = "README"
include_patterns = [
    "README.md", "CONTRIBUTING.md", "docs/*.md", "notebooks/*.ipynb",
    "data/micro/README.md", "data/micro/*/README.md", "data/micro/verifiers/*/README.md",
]  # fmt: skip
html_theme = "sphinx_book_theme"
html_theme_options = {"use_download_button": True, "show_navbar_depth": 1, "home_page_in_toc": True}
html_title = "tts-study"
html_context = {"default_mode": "auto"}
html_static_path = ["static"]
html_css_files = ["site.css"]
html_extra_path = ["index.html"]  # redirects to README.html
html_show_sphinx = False
nb_execution_mode = "off"
nb_merge_streams = True
nb_code_prompt_show = "Show a solution"  # the only folded cells are solutions of exercises
nb_code_prompt_hide = "Hide the solution"
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header", "mystnb.unknown_mime_type"]

CONTENTS = """
```{toctree}
:hidden:
:caption: Notebooks
:glob:
notebooks/*
```

```{toctree}
:hidden:
:caption: Pages
:glob:
docs/*
CONTRIBUTING
data/micro/README
data/micro/*/README
data/micro/verifiers/*/README
```
"""


def add_contents(app, name, source):
    """The order of the pages, at the end of the README."""
    if name == "README":
        source[0] += CONTENTS


def describe_figures(app, tree):
    """Give each figure of a notebook a caption and an alternative text: its section's title without the number."""
    for image in list(tree.findall(nodes.image)):
        if image.get("alt") or isinstance(image.parent, nodes.figure):
            continue
        section = image.parent
        while section is not None and not isinstance(section, nodes.section):
            section = section.parent
        title = section.next_node(nodes.title).astext().lstrip("0123456789. ") if section else "figure"
        image["alt"] = f"Figure: {title}"
        figure = nodes.figure("", align="left")
        tree.set_id(figure)
        image.replace_self(figure)
        figure += image
        figure += nodes.caption("", title)


def setup(app):
    """Register both."""
    app.connect("source-read", add_contents)
    app.connect("doctree-read", describe_figures)
