"""``python -m django_jobflow.testing.process``: a worker on the databases of a running test.

It is ``runjobs`` of the project, but for what the test has said in the environment.
"""

from __future__ import annotations

import json
import os
import sys

TOLD = "JOBFLOW_TESTING"
"""The variable that says, as JSON, the names of the databases and what JOBFLOW is changed by."""


def main() -> None:
    """Point the settings at the databases of the test, and work."""
    from django.conf import settings
    from django.core.management import execute_from_command_line

    told = json.loads(os.environ[TOLD])
    for alias, name in told["databases"].items():
        settings.DATABASES[alias]["NAME"] = name
    settings.JOBFLOW = {**getattr(settings, "JOBFLOW", {}), **told["jobflow"]}
    execute_from_command_line(["manage.py", "runjobs", *sys.argv[1:]])


if __name__ == "__main__":
    main()
