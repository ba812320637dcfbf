import re

from django_jobflow.doctor import Code
from tests.docs.pages import DOCS


def test_reference_has_each_finding():
    page = (DOCS / "reference" / "doctor.md").read_text()

    assert sorted(Code) == sorted(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
