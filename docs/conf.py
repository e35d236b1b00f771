"""Configuration of the documentation: `make docs` builds it without network."""

from __future__ import annotations

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx

from xdeepr import __version__

project = "xdeepr"
author = "The xdeepr developers"
project_copyright = author
release = version = __version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]
root_doc = "index"
nitpicky = False

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_typehints = "none"  # numpydoc's Parameters say them in an analyst's words
autodoc_member_order = "bysource"
numpydoc_show_class_members = False  # the class template lists them

html_theme = "furo"
html_title = f"xdeepr {release}"
html_static_path = ["_static"]
html_css_files = ["wide-tables.css"]
html_math_renderer = "mathml"
html_show_sphinx = False


def visit_math(translator: nodes.NodeVisitor, node: nodes.math) -> None:
    """Write a formula inside a line."""
    translator.body.append(tex2mathml(node.astext(), as_block=False))
    raise nodes.SkipNode


def visit_display_math(translator: nodes.NodeVisitor, node: nodes.math_block) -> None:
    """Write a formula that stands by itself; a row of several is one aligned block."""
    text = node.astext()
    if r"\\" in text and r"\begin" not in text:
        text = rf"\begin{{aligned}}{text}\end{{aligned}}"
    translator.body.append(f'<div class="math">{tex2mathml(text, as_block=True)}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    """Register formulas as MathML, which browsers draw themselves: MathJax would be fetched."""
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_display_math, None))
