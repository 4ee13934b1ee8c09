"""Settings of the docs: ``python -m sphinx -W --keep-going -b html docs docs/_build``.

The examples are run, and one that fails is an error. Nothing is fetched, neither while building nor while reading. Intersphinx is left out for that reason:
a missing inventory is a warning that Sphinx cannot be told to tolerate, and ``-W`` would make it an error.
"""

import re
from importlib.metadata import version

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

project = "recon-anomaly"
author = "The recon-anomaly developers"
release = version = version("recon-anomaly")

extensions = ["myst_parser", "sphinx.ext.autodoc", "numpydoc", "sphinx_gallery.gen_gallery"]
exclude_patterns = ["_build"]
default_role = "py:obj"  # single backticks in docstrings link where they can

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

# In the order in which they are shown.
EXAMPLES = ["quick_start", "folder", "transfer", "grid_search", "own_scorer", "own_model"]
EXAMPLES += ["adaptive_weights", "onnx"]
suppress_warnings = ["config.cache"]  # an order cannot be pickled
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "ignore_pattern": r"^(?!.*plot_)",  # scripts with options of their own, which tests run
    "within_subsection_order": [f"plot_{name}.py" for name in EXAMPLES].index,
    "remove_config_comments": True,
    "show_memory": False,
    "min_reported_time": 3600,  # which depends on the machine
    "show_signature": False,
    "download_all_examples": False,
    "write_computation_times": False,
}

autodoc_typehints = "none"  # numpydoc's sections say the types
autodoc_member_order = "bysource"
numpydoc_show_class_members = False  # members are those that api.md names
python_maximum_signature_line_length = 88
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = f"recon-anomaly {release}"
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False
html_math_renderer = "mathml"


def setup(app):
    """Write formulas as MathML, which browsers draw by themselves; MathJax would be fetched."""
    app.add_html_math_renderer("mathml", (_formula, None), (_formula, None))


def _formula(translator, node):
    alone = isinstance(node, nodes.math_block)
    # Where TeX reads one half, docutils reads a twelve.
    formula = re.sub(r"frac(\d)(\d)", r"frac{\1}{\2}", node.astext())
    mathml = tex2mathml(formula, as_block=alone)
    translator.body.append(f'<div style="margin: 1em 0">{mathml}</div>' if alone else mathml)
    raise nodes.SkipNode
