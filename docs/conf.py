"""Settings of the documentation site, which `make docs` builds; every warning is an error there.

Sphinx, MyST and furo, because MkDocs has had no release since August 2024, and its Material theme is in maintenance.
"""

from anaume import __version__

project = "anaume"
author = "the authors of anaume"
release = version = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "index"
exclude_patterns = ["_site"]
myst_enable_extensions = ["deflist"]  # the page of messages
myst_heading_anchors = 3  # links to headings are checked
html_theme = "furo"
html_title = f"anaume {__version__}"
html_copy_source = False
default_role = "code"  # `name` in a docstring
add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
