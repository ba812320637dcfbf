"""What is shipped, and what a bare import of it costs."""

import json
import os
import subprocess
import sys
import types
import zipfile
from pathlib import Path

import pytest
from packaging.metadata import Metadata

import django_jobflow

REPOSITORY = Path(__file__).parent.parent
TEST_COMMAND = (
    "python3 -m venv .venv && .venv/bin/pip install -q tox && .venv/bin/tox run -e tests"
)
DEMO_COMMAND = TEST_COMMAND.removesuffix("tests") + "demo"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    directory = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", directory, REPOSITORY],
        check=True,
        capture_output=True,
    )
    assert 1 == len(list(directory.glob("*.tar.gz")))
    (built,) = directory.glob("*.whl")  # built from the source distribution
    with zipfile.ZipFile(built) as archive:
        yield archive


@pytest.fixture(scope="module")
def metadata(wheel):
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return Metadata.from_email(wheel.read(name), validate=True)


class WheelTests:
    def test_holds_every_file_of_the_package_and_no_other(self, wheel):
        package = Path(django_jobflow.__file__).parent
        files = {
            path.relative_to(package.parent).as_posix()
            for path in package.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        } | {"pytest_django_jobflow.py"}

        assert files == {name for name in wheel.namelist() if ".dist-info/" not in name}

    @pytest.mark.parametrize(
        ("folder", "suffix"),
        [
            ("", "py.typed"),
            ("locale/", "pt_BR/LC_MESSAGES/django.mo"),
            ("locale/", "pt_BR/LC_MESSAGES/django.po"),
            ("migrations/", "0001_initial.py"),
            ("static/jobflow/", ".css"),
            ("templates/", ".html"),
        ],
    )
    def test_holds_what_is_not_code(self, wheel, folder, suffix):
        inside = [name for name in wheel.namelist() if name.startswith(f"django_jobflow/{folder}")]

        assert any(name.endswith(suffix) for name in inside)

    def test_has_the_version_of_the_package(self, metadata):
        assert django_jobflow.__version__ == str(metadata.version)

    def test_needs_django_alone(self, metadata):
        needed = [str(each) for each in metadata.requires_dist if "extra ==" not in str(each)]

        assert ["django>=5.2"] == [each.lower() for each in needed]

    def test_has_the_plugin_of_pytest(self, wheel):
        (name,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))

        expected = "[pytest11]\npytest_django_jobflow = pytest_django_jobflow"
        assert expected == wheel.read(name).decode().strip()

    def test_is_described_by_the_readme(self, wheel, metadata):
        assert "text/markdown" == metadata.description_content_type
        assert (REPOSITORY / "README.md").read_text().strip() == metadata.description.strip()


class ReadmeTests:
    @pytest.mark.parametrize("command", [TEST_COMMAND, DEMO_COMMAND])
    def test_shows_the_command_that_ci_runs(self, command):
        assert command in (REPOSITORY / "README.md").read_text().splitlines()
        assert command in (REPOSITORY / ".ci" / "run").read_text()


class ImportTests:
    def test_bare_import_needs_no_settings_and_no_models(self):
        code = (
            "import json, sys, django_jobflow; from django.conf import settings;"
            "print(json.dumps([settings.configured, sorted(sys.modules)]))"
        )
        environment = {
            key: os.environ[key] for key in os.environ if key != "DJANGO_SETTINGS_MODULE"
        }

        ended = subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            cwd=REPOSITORY,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )

        is_configured, modules = json.loads(ended.stdout)
        assert not is_configured
        assert [] == [name for name in modules if name.startswith("django_jobflow.models")]

    def test_public_names_are_what_can_be_imported(self):
        found = {
            name
            for name, value in vars(django_jobflow).items()
            if not name.startswith("_") and not isinstance(value, types.ModuleType)
        }

        assert {"__version__", *found} == set(django_jobflow.__all__)

    def test_every_public_name_is_there(self):
        assert [] == [name for name in django_jobflow.__all__ if not hasattr(django_jobflow, name)]
