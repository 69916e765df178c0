"""The documentation site: `make docs` builds it from these pages and from the package.

Sphinx with MyST and the theme of pydata. Sphinx reads docstrings by itself, ends where a page or
a reference warns, runs on every Python that the package does, and its search is a script beside
the pages, so that a folder of files can be searched offline. (MkDocs has had no release since
August 2024, and its search, like Zensical's, asks a server for its index.)
"""

import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS.parent), str(DOCS)]

from aes_lipi import __version__  # noqa: E402

project = "aes_lipi"
author = "The aes_lipi developers"
copyright = author
version = release = __version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "myst_parser"]
extensions += ["sitegen.names", "sitegen.pages"]
source_suffix = {".md": "markdown"}
exclude_patterns: list[str] = ["sitegen"]
default_role = "code"  # what docstrings have in `backticks`
suppress_warnings: list[str] = []

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # docstrings have shapes and types
napoleon_attr_annotations = False
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"

smartquotes = False  # two hyphens are a flag
html_theme = "pydata_sphinx_theme"
html_title = f"aes_lipi {release}"
html_static_path = ["static"]
html_favicon = "static/icon.svg"
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_sidebars = {"index": []}
html_theme_options = {
    "logo": {"text": "aes_lipi"},
    "navigation_with_keys": False,
    "show_prev_next": True,
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
