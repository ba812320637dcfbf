import pytest

from django_jobflow.service import Service


@pytest.mark.parametrize(
    ("service", "served"),
    [
        ({}, "a b c"),
        ({"queues": ("a", "b")}, "a b"),
        ({"excluded": ("a",)}, "b c"),
        ({"queues": ("a", "b"), "excluded": ("a",)}, "b"),
        ({"partitions": ("x",)}, "a b c"),
    ],
)
def test_queues_are_those_that_are_named_but_for_those_that_are_not(service, served):
    service = Service(**service)

    assert served.split() == [queue for queue in "abc" if service.serves(queue)]
    assert service.is_of_all == (service == Service())


@pytest.mark.parametrize(
    ("partitions", "served"), [((), ["", "x", "y"]), (("x",), ["x"]), (("", "y"), ["", "y"])]
)
def test_partitions_are_those_that_are_named(partitions, served):
    service = Service(queues=("a",), partitions=partitions)

    assert served == [name for name in ("", "x", "y") if service.serves("a", name)]
    assert not any(service.serves("b", name) for name in ("", "x", "y"))
