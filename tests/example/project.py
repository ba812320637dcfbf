"""The example project, run by its own ``manage.py`` in processes of its own."""

import csv
import importlib.util
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLE = REPOSITORY / "example_project"

HEADER = (
    "order_number,placed_at,name,email,street,city,postcode,country,sku,quantity,unit_price,"
    "currency"
)
GOOD_ROW = (
    "A-1,2026-08-03T14:05:00+02:00,Zoë Müller,zoe@mail.example,Goethestraße 5,Köln,50667,DE,"
    "TEA-ASM-100,2,7.90,EUR"
)


class Project:
    """The example with a database and a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        self.environment = inherited | {
            "DATABASE_URL": f"sqlite:///{folder / 'shop.sqlite3'}",
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(EXAMPLE)]),
            "PYTHONWARNINGS": "error",
            "VAR_DIR": str(folder),
        }

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of ``manage.py`` with *arguments*."""
        return [sys.executable, str(EXAMPLE / "manage.py"), *arguments]

    def manage(
        self, *arguments: str, timeout: float = 120, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run ``manage.py`` to its end."""
        return subprocess.run(
            self.command(*arguments),
            env=self.environment | environment,
            capture_output=True,
            encoding="utf-8",
            timeout=timeout,
        )

    def ask(self, code: str, **environment: str) -> Any:
        """Run *code* with the example's Django, and return the value that it gives ``answer``."""
        script = f"import django, json\ndjango.setup()\n{code}\nprint(json.dumps(answer))"
        run = subprocess.run(
            [sys.executable, "-c", script],
            env=self.environment | environment,
            capture_output=True,
            encoding="utf-8",
            timeout=60,
        )
        assert run.returncode == 0, run.stderr
        return json.loads(run.stdout.splitlines()[-1])


def row(number: str, **values: str) -> list[str]:
    """Return a row of an order file: good, but for what *values* say."""
    good = dict(zip(HEADER.split(","), next(csv.reader([GOOD_ROW])), strict=True))
    return list((good | {"order_number": number} | values).values())


def order_file(path: Path, rows: list[list[str]]) -> Path:
    """Write *rows* to *path*."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows([HEADER.split(","), *rows])
    path.write_text(text.getvalue(), "utf-8", newline="")
    return path


def server_module(name: str) -> ModuleType:
    """Import a server of the example, which knows nothing of Django."""
    source = EXAMPLE / "shop" / "servers" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"example_{name}", source)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
