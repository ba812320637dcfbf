import re

from tests.docs.pages import README, REPOSITORY

TESTS = "python3 -m venv .venv && .venv/bin/pip install -q tox && .venv/bin/tox run -e tests"
DEMO = "python3 -m venv .venv && .venv/bin/pip install -q tox && .venv/bin/tox run -e demo"


class ReadmeTests:
    def test_has_the_commands_for_a_fresh_machine(self):
        lines = README.read_text().splitlines()

        assert {TESTS, DEMO, ".venv/bin/tox run -e demo -- --serve"} <= set(lines)

    def test_links_lead_to_files(self):
        links = re.findall(r"\]\(([^)#]+)", README.read_text())

        assert [] == [link for link in links if not (REPOSITORY / link).exists()]

    def test_names_the_versions_of_the_package(self):
        pyproject = (REPOSITORY / "pyproject.toml").read_text()
        versions = re.findall(r"Framework :: Django :: ([\d.]+)", pyproject)

        assert [] == [version for version in versions if version not in README.read_text()]

    def test_is_short_enough_to_be_read(self):
        assert 120 >= len(README.read_text().splitlines())
