"""Sphinx: `make docs` executes the tutorials, collects the docstrings, and takes every warning for an error."""

import ast
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive

from minpy.version import VERSION

project = "MinPy"
author = "the MinPy developers"
version = release = VERSION

extensions = [
    "myst_nb",  # Markdown, and pages whose code is executed
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",  # numpydoc's docstrings
    "sphinx.ext.viewcode",
    "sphinx.ext.mathjax",
]
exclude_patterns = ["_build"]
root_doc = "index"

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "auto"
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_render_markdown_format = "myst"  # tables
nb_merge_streams = True  # one box for what a cell prints

autosummary_generate = True
autodoc_typehints = "none"  # the docstrings say it, with shapes
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True

html_theme = "furo"
html_title = f"MinPy {VERSION}"
html_static_path = ["_static"]
html_css_files = ["minpy.css"]

# Docstrings of the project name their own things in single backquotes, as numpydoc does.
default_role = "code"

html_show_copyright = False


class Modules(Directive):
    """``modules``: the modules of a package, each with the first sentence of its docstring."""

    required_arguments = 1

    def run(self) -> list:
        folder = Path(__file__).parent.parent / self.arguments[0]
        items = []
        for path in sorted(folder.glob("*.py")):
            text = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n\n")[0]
            if path.name != "__init__.py" and text:
                parsed, messages = self.state.inline_text(
                    f"`{path.stem}`: {' '.join(text.split())}", self.lineno
                )
                items.append(nodes.list_item("", nodes.paragraph("", "", *parsed, *messages)))
        if not items:
            raise self.error(f"{self.arguments[0]} has no modules")
        return [nodes.bullet_list("", *items)]


def setup(app: object) -> None:
    """Make the directive known."""
    app.add_directive("modules", Modules)  # type: ignore[attr-defined]
