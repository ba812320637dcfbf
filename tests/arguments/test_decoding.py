import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_jobflow.arguments import decode
from django_jobflow.exceptions import ArgumentError

TAG = "$jobflow"
NAME = "shop.jobs.Ship"
TAGS = [
    "int", "float", "datetime", "date", "time", "timedelta", "decimal", "uuid", "bytes",
    "tuple", "set", "frozenset", "dict", "enum",
]  # fmt: skip

stored = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(TAGS),
    lambda children: (
        st.lists(children, max_size=4)
        | st.dictionaries(st.text() | st.just(TAG), children, max_size=3)
        | st.builds(lambda tag, value: {TAG: tag, "value": value}, st.sampled_from(TAGS), children)
    ),
    max_leaves=10,
)


def error_of(value):
    with pytest.raises(ArgumentError) as caught:
        decode([], {"order": value}, name=NAME)
    return caught.value


class MalformedTests:
    @pytest.mark.parametrize(
        "value",
        [
            {TAG: "complex", "value": "1j"},
            {TAG: ["int"], "value": "1"},
            {TAG: None, "value": "1"},
            {TAG: "int"},
            {TAG: "int", "data": "1"},
            {TAG: "int", "more": 1, "value": "1"},
            {TAG: "int", "value": 1},
            {TAG: "int", "value": "one"},
            {TAG: "float", "value": "one"},
            {TAG: "decimal", "value": "one"},
            {TAG: "decimal", "value": [0, [1], 0]},
            {TAG: "uuid", "value": "one"},
            {TAG: "bytes", "value": "%%%"},
            {TAG: "bytes", "value": "é"},
            {TAG: "date", "value": "2024-13-01"},
            {TAG: "date", "value": 5},
            {TAG: "time", "value": 5},
            {TAG: "time", "value": ["09:00", "Europe/Paris", 2]},
            {TAG: "datetime", "value": ["2024-05-01"]},
            {TAG: "datetime", "value": ["2024-05-01", "Mars/Olympus", 0]},
            {TAG: "datetime", "value": ["2024-05-01", "Europe", 0]},
            {TAG: "datetime", "value": ["2024-05-01", "../../etc/passwd", 0]},
            {TAG: "datetime", "value": ["2024-05-01", 5, 0]},
            {TAG: "timedelta", "value": [10**12, 0, 0]},
            {TAG: "timedelta", "value": 5},
            {TAG: "set", "value": [[]]},
            {TAG: "dict", "value": [[[], 1]]},
            {TAG: "dict", "value": [[1, 2, 3]]},
            {TAG: "dict", "value": ["ab"]},
        ],
    )
    def test_value_of_no_writer_is_named_whole(self, value):
        assert (
            f"{NAME}: expected stored arguments that can be read back, got {value!r} at "
            f"kwargs['order']."
        ) == str(error_of(value))

    @pytest.mark.parametrize("tag", ["tuple", "set", "frozenset", "dict"])
    @pytest.mark.parametrize("value", ["", "ab", {}, None, 5])
    def test_container_of_no_list_is_refused(self, tag, value):
        assert (
            f"{NAME}: expected stored arguments that can be read back, got {value!r} at "
            f"kwargs['order']."
        ) == str(error_of({TAG: tag, "value": value}))

    def test_path_leads_to_the_value(self):
        bad = {TAG: "int", "value": "x"}

        error = error_of({"a": [{TAG: "tuple", "value": [1, bad]}]})

        assert str(error).endswith(f" got {bad!r} at kwargs['order']['a'][0][1].")
        assert isinstance(error.__cause__, ValueError)

    def test_arguments_are_named_where_the_job_is_not_given(self):
        with pytest.raises(ArgumentError, match=r"^Arguments: expected stored .* at args\[0\]\.$"):
            decode([{TAG: "int"}], {})

    @pytest.mark.parametrize("value", [object(), (1,), b"x", {TAG: "set", "value": (1,)}])
    def test_what_json_never_gives_is_refused(self, value):
        assert "expected stored arguments that can be read back" in str(error_of(value))

    def test_arguments_that_are_no_object_are_refused(self):
        with pytest.raises(ArgumentError) as caught:
            decode([], [1], name=NAME)

        assert (
            f"{NAME}: expected stored arguments that can be read back, got [1] at kwargs."
        ) == str(caught.value)

    def test_nesting_that_python_cannot_follow_is_refused(self):
        value = []
        for _ in range(100_000):
            value = [value]

        error = error_of(value)

        assert (
            f"{NAME}: expected stored arguments that can be read back, got kwargs nested too deep."
        ) == str(error)
        while value:  # else the garbage collector recurses
            value = value.pop()

    @given(value=stored)
    def test_any_json_is_read_or_refused(self, value):
        with contextlib.suppress(ArgumentError):
            decode([json.loads(json.dumps(value))], {})
