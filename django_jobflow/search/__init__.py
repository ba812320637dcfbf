"""The search language: ``queue:email state:failed arg.order_id:7 error:SMTPException age>1h``.

A text becomes a ``Search``, or a ``SearchError`` that shows the place. What it finds is the
business of ``django_jobflow.observe``.
"""

from __future__ import annotations

from django_jobflow.search.keys import KEYS, WORD, Key
from django_jobflow.search.parsing import parse
from django_jobflow.search.terms import Scalar, Search, SearchError, Term, Text

__all__ = ["KEYS", "WORD", "Key", "Scalar", "Search", "SearchError", "Term", "Text", "parse"]
