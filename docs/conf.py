"""How the documentation is built; it needs neither a network nor a database."""

import os
import sys
from pathlib import Path

import django

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS.parent), str(DOCS / "_ext")]

os.environ["DJANGO_SETTINGS_MODULE"] = "bare_settings"
django.setup()

from django_jobflow import __version__  # noqa: E402

project = "django_jobflow"
author = "The django_jobflow authors"
copyright = f"2026, {author}"
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "generated",
]
exclude_patterns = ["_build", "changes"]
nitpicky = True
# Names from outside: their documentation is not at hand without a network.
nitpick_ignore_regex = [
    ("py:.*", r"(django|datetime|collections|typing|types|asyncio|inspect)\b.*"),
    ("py:.*", r"(Any|P|R|T|Callable|Iterable|Mapping|Sequence|Literal|ParamSpec|TypeVar)"),
    ("py:class", r"django_jobflow\.testing\.worker\.T"),
    (
        "py:.*",
        r"(django_jobflow\.(declare\.job|enqueue)\.)?(P|R_co|P\.k?w?args|Performs|Enqueuer)",
    ),
    ("py:.*", r"django_jobflow\.declare\.(context\.Reporter|function\.\w+)"),
    ("py:.*", r"django_jobflow\.(attempts\.Reservation|tasks\.declaring\.[PR])"),
    ("py:.*", r"django_tasks\..*|InvalidTask|TaskResultDoesNotExist|JobflowTask"),
    ("py:.*", r"(timedelta|datetime|Exception|BaseException|models\..*)"),
    (
        "py:.*",
        r"(SucceededJob|JobRecord\.DoesNotExist|JobFacts|Tally|Cause|Rows|QuerySet|Prepared)",
    ),
    ("py:.*", r"django_jobflow\.(models\.records|engines\.counting|observe|calls)\.\w+(\.\w+)*"),
    (
        "py:.*",
        r"(TypeError|TimeoutError|LookupError|OperationalError|ImproperlyConfigured|TextChoices|Signal)",
    ),
]

smartquotes = False  # a quote is often part of what one types
myst_enable_extensions = ["attrs_block", "colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
napoleon_use_ivar = True
napoleon_use_rtype = False
napoleon_custom_sections = ["Database"]

html_theme = "furo"
html_title = f"django_jobflow {version}"
html_static_path = ["_static"]
html_css_files = ["jobflow.css"]
html_copy_source = False
html_show_sourcelink = False
