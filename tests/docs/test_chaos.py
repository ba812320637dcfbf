"""The page of the chaos runs shows what they have written, and that they went well."""

import pytest

from tests.chaos.faults import FAULTS
from tests.chaos.report import PAGE, PARTS, fill, latest
from tests.chaos.servers import KINDS

RESULTS = latest()


class PageTests:
    def test_tables_are_made_from_the_results(self):
        page = PAGE.read_text()

        assert fill(page, RESULTS) == page

    def test_every_part_is_shown(self):
        page = PAGE.read_text()

        assert [] == [part for part in PARTS if f"<!-- chaos: postgresql {part} -->" not in page]

    def test_part_without_results_says_so(self):
        filled = fill("<!-- chaos: oracle run -->\n<!-- end of chaos -->", {})

        assert "There is no long run of it yet." in filled


@pytest.mark.parametrize("name", sorted(RESULTS))
class ResultsTests:
    def test_nothing_was_lost_or_done_twice_or_violated(self, name):
        verdict = RESULTS[name].verdict

        assert (0, 0, []) == (verdict.lost, verdict.doubled, verdict.violations)
        assert verdict.jobs > 1000

    def test_faults_are_known_and_on_their_databases(self, name):
        results = RESULTS[name]
        known = {each.name for each in FAULTS.values() if results.about["database"] in each.on}

        assert {row.fault for row in results.rows} <= known


def test_the_long_run_has_made_every_fault_of_postgresql():
    long = RESULTS["postgresql"]

    made = {row.fault for row in long.rows}

    assert {name for name, each in FAULTS.items() if "postgresql" in each.on} == made
    assert (20, 500) <= (long.about["minutes"], long.faults)
    assert RESULTS.keys() - {"rescue"} <= KINDS.keys()
