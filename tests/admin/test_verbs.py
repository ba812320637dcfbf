import pytest
from django.contrib.messages import SUCCESS, WARNING

from django_jobflow import states
from django_jobflow.admin.verbs import VERBS, deleted, offered
from django_jobflow.operate import Done
from django_jobflow.states import JobState


class TestTold:
    """What is said of many: nothing of what there was nothing of."""

    def test_nothing_is_said_of_nothing(self):
        for told in (*(verb.told for verb in VERBS.values()), deleted):
            assert [] == list(told(Done(0)))

    def test_what_was_skipped_is_a_warning(self):
        for told in (*(verb.told for verb in VERBS.values()), deleted):
            assert [SUCCESS, WARNING] == [level for level, _ in told(Done(1, skipped=1))]

    @pytest.mark.parametrize(
        ("done", "expected"),
        [
            (Done(1), ["1 job was cancelled."]),
            (Done(0, asked=2), ["2 running jobs were asked to stop."]),
            (Done(0, skipped=1), ["1 job was skipped: it has ended already."]),
        ],
    )
    def test_each_part_is_told_apart(self, done, expected):
        assert expected == [text for _, text in VERBS["cancel"].told(done)]


@pytest.mark.parametrize("state", JobState)
def test_offered_verbs_are_those_that_the_table_allows(state):
    assert [name for name in VERBS if states.can(name, state)] == [
        verb.name for verb in offered(state)
    ]
