"""Sphinx configuration; `make docs` builds the site into docs/_build/html without a network."""

import importlib
import inspect
import re

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

import offload_gym

project = "offload_gym"
author = "The offload_gym authors"
copyright = author  # noqa: A001 (Sphinx's name)
version = release = offload_gym.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["_build", "listing.md"]
html_theme = "furo"
html_title = f"offload_gym {version}"
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"

myst_enable_extensions = ["dollarmath"]
myst_fence_as_directive = {"math"}
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
autodoc_type_aliases = {name: name for name in ("ArrayLike", "NDArray", "Range")}
napoleon_use_ivar = True
napoleon_attr_annotations = False  # the signature has them
python_maximum_signature_line_length = 100


def write_inline_math(translator, node: nodes.math) -> None:
    """Browsers show MathML themselves: no script to fetch, no TeX to install."""
    translator.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def write_block_math(translator, node: nodes.math_block) -> None:
    """As ``write_inline_math``."""
    translator.body.append(f'<div class="formula">{tex2mathml(node.astext(), as_block=True)}</div>')
    raise nodes.SkipNode


def specification(match: re.Match) -> str:
    """Spaces and docstring of an environment's class, which is written in Markdown, as Gymnasium's are."""
    environment_class = getattr(importlib.import_module(match["module"]), match["name"])
    environment = environment_class()
    spaces = environment.action_space, environment.observation_space
    if hasattr(environment, "possible_agents"):
        spaces = tuple(space(environment.possible_agents[0]) for space in spaces)
    table = f"| by default | |\n|---|---|\n| Action space | `{spaces[0]}` |\n| Observation space | `{spaces[1]}` |\n"
    return f"{table}\n{inspect.getdoc(environment_class)}\n"


def insert_specifications(app: Sphinx, docname: str, source: list[str]) -> None:
    """Replace the comment of a page that names an environment's class."""
    source[0] = re.sub(r"<!-- specification of (?P<module>[\w.]+):(?P<name>\w+) -->", specification, source[0])


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.add_html_math_renderer("mathml", (write_inline_math, None), (write_block_math, None))
    app.add_lexer("csv", TextLexer)  # Pygments has none
    app.connect("source-read", insert_specifications)
