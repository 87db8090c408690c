"""Sphinx: `make docs` executes the tutorials, collects the docstrings, and takes every warning for an error."""

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
