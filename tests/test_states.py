import pytest

from django_jobflow import states
from django_jobflow.models import JobRecord
from django_jobflow.states import TRANSITIONS, JobState


class JobStateTests:
    def test_states_are_stored_as_these_words(self):
        assert [
            "SCHEDULED",
            "AVAILABLE",
            "RESERVED",
            "IN_PROGRESS",
            "RETRY",
            "FAILED",
            "WAITING",
            "CANCELLED",
        ] == JobState.values

    @pytest.mark.parametrize("state", JobState)
    def test_state_fits_into_its_column(self, state):
        assert len(state.value) <= JobRecord._meta.get_field("state").max_length


class GroupTests:
    def test_record_has_ended_or_is_unfinished(self):
        assert set(JobState) == states.ENDED | states.UNFINISHED
        assert not states.ENDED & states.UNFINISHED

    def test_held_record_holds_its_execution_key(self):
        assert states.HELD < states.KEYED

    def test_unfinished_record_that_does_not_run_has_an_attempt_left(self):
        assert states.UNFINISHED - {JobState.IN_PROGRESS} == states.ATTEMPT_LEFT


class TransitionTests:
    def test_verb_is_the_name_of_its_row(self):
        assert list(TRANSITIONS) == [move.verb for move in TRANSITIONS.values()]

    @pytest.mark.parametrize("state", JobState)
    def test_every_state_can_be_entered_and_left(self, state):
        entered = [move for move in TRANSITIONS.values() if state in move.targets]
        left = [move for move in TRANSITIONS.values() if state in move.origins]

        assert entered
        assert left

    def test_only_a_birth_has_no_origin(self):
        assert ["enqueue"] == [verb for verb, move in TRANSITIONS.items() if not move.origins]

    def test_only_a_success_leaves_the_table(self):
        assert ["succeed"] == [verb for verb, move in TRANSITIONS.items() if not move.targets]

    def test_ended_record_is_left_by_the_retry_of_an_operator_alone(self):
        verbs = [verb for verb, move in TRANSITIONS.items() if move.origins & states.ENDED]

        assert ["retry"] == verbs

    def test_failed_and_succeeded_are_reached_from_held_states_alone(self):
        for verb, move in TRANSITIONS.items():
            if verb == "expire":  # what waits until it is pointless has never been held
                continue
            if JobState.FAILED in move.targets or not move.targets:
                assert move.origins <= states.HELD

    def test_each_is_made_by_somebody_and_says_what_it_changes(self):
        makers = {"caller", "worker", "job", "sweep", "operator"}

        assert makers == {move.by for move in TRANSITIONS.values()}
        assert all(move.changes for move in TRANSITIONS.values())

    @pytest.mark.parametrize("state", JobState)
    @pytest.mark.parametrize("verb", TRANSITIONS)
    def test_verb_may_move_a_record_that_is_in_one_of_its_origins(self, verb, state):
        assert (state in states.origins(verb)) is states.can(verb, state)
        assert states.can(verb, state.value) is states.can(verb, state)
