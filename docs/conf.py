"""How the documentation is built: `make docs`, with every warning an error."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

from kubernetes_leader_election import Elector, __version__

_PROJECT = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())[
    "project"
]

project = _PROJECT["name"]
author = "the maintainers"
release = version = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "notfound.extension",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_llms_txt",
]
templates_path = ["_templates"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["_build"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True}
autodoc_preserve_defaults = True
autoclass_content = "both"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80
napoleon_google_docstring = True
napoleon_numpy_docstring = False

# Prompts, and what a command prints, are not copied.
copybutton_prompt_text = r"\$ "
copybutton_prompt_is_regexp = True
copybutton_only_copy_prompt_lines = True
copybutton_selector = (
    "div.highlight-python pre, div.highlight-console pre, div.highlight-sh pre,"
    " div.highlight-yaml pre, div.highlight-default pre"
)

# The site may be served below any path: its page for what is not there links to the root.
notfound_urls_prefix = "/"

# For programs that read documentation: llms.txt names every page, llms-full.txt has them.
llms_txt_title = project
llms_txt_summary = _PROJECT["description"]
llms_txt_exclude = ["changelog", "404"]

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = [("site.js", {"defer": "defer"})]
html_title = f"{project} {release}"
html_theme_options = {"source_view_link": ""}
html_show_copyright = False
# Built offline, the same each time.
html_last_updated_fmt = None


def link_names(app: Sphinx, tree: nodes.document) -> None:
    """Link the names of an elector's page to the reference; as text they are plain."""
    if app.env.docname != "options":
        return
    for row in tree.findall(nodes.row):
        for literal in row[0].findall(nodes.literal):
            name = re.match(r"[a-z]\w*", literal.astext())
            if name is not None and hasattr(Elector, name[0]):
                to = f"{Elector.__module__}.Elector.{name[0]}"
                link = addnodes.pending_xref(
                    refdomain="py", reftype="obj", reftarget=to, refdoc="options"
                )
                literal.replace_self(link)
                link += literal


UNIT = re.compile(r"(\d) (ms|s|minutes?|hours?|KiB|MiB|GiB|%)(?!\w)")
SHORT = 20
"""Characters of code that are kept in one line, and fit a cell of a narrow screen."""


def keep_together(_app: Sphinx, tree: nodes.document) -> None:
    """Break no line within a short piece of code, or between a number and its unit."""
    for literal in tree.findall(nodes.literal):
        code = literal.astext()
        if len(code) <= SHORT or (code.startswith("-") and " " not in code):
            literal["classes"].append("short")
    for text in list(tree.findall(nodes.Text)):
        if isinstance(text.parent, (nodes.literal, nodes.FixedTextElement, nodes.raw)):
            continue
        kept = UNIT.sub("\\1\N{NO-BREAK SPACE}\\2", text)
        if kept != text:
            text.parent.replace(text, nodes.Text(kept))


MADE_BY_OTHERS = ("HealthServer", "Lane", "MutatingLane", "Pod", "Term")
"""Classes of which users get objects, but make none."""


def clean_signature(
    _app: Sphinx,
    what: str,
    name: str,
    _thing: object,
    _options: object,
    signature: str | None,
    returns: str | None,
) -> tuple[str, str | None] | None:
    """Leave out what says nothing: how a class is made by others, paths of parameters."""
    made = name.rpartition(".")[2] in MADE_BY_OTHERS or re.match(
        r"\(\*args: (~typing\.)?Any, \*\*|\(value\)", signature or ""
    )
    if what == "class" and made:
        return "", None
    if (
        signature and "~typing.~" in signature
    ):  # autodoc's own short form fails on these
        return re.sub(r"~(?:\w+\.)*~?", "", signature), returns
    return None


def find_logs(_app: Sphinx, tree: nodes.document) -> None:
    """Mark printed sentences, whose long lines may be broken; columns may not."""
    for block in tree.findall(nodes.literal_block):
        printed = block.get("language") == "text"
        if printed and not re.search("^ |  ", block.astext(), re.MULTILINE):
            block["classes"].append("log")


def put_first_line_together(
    _app: Sphinx,
    what: str,
    _name: str,
    _thing: object,
    _options: object,
    lines: list[str],
) -> None:
    """Undo what napoleon makes of "a: b" about an attribute: b, of the type a."""
    types = [line for line in lines if line.startswith(":type: ")]
    if what in {"attribute", "data", "property"} and len(types) == 1:
        lines.remove(types[0])
        lines[0] = f"{types[0].removeprefix(':type: ')}: {lines[0]}"


def setup(app: Sphinx) -> dict[str, Any]:
    """Say what of this is called while pages are read."""
    app.connect("doctree-read", link_names)
    app.connect("doctree-read", keep_together)
    app.connect("autodoc-process-signature", clean_signature)
    app.connect("doctree-read", find_logs)
    # After napoleon, which has 500.
    app.connect("autodoc-process-docstring", put_first_line_together, priority=600)
    return {"parallel_read_safe": True}
