"""A database of the suite's own, for all tests that one process runs."""

from collections.abc import Callable, Iterator

import pytest

from tests import databases
from tests.chaos.stage import Stage, house
from tests.conftest import is_required
from tests.servers import ServerUnavailable


@pytest.fixture(scope="session")
def home() -> Iterator[tuple]:
    try:
        with house(databases.kind()) as found:
            yield found
    except ServerUnavailable as error:
        if is_required(databases.kind()):
            raise
        pytest.skip(str(error))


@pytest.fixture
def stage(home, tmp_path) -> Iterator[Callable[..., Stage]]:
    """Return a function that sets a stage up, on empty tables."""
    database, guard, _ = home
    database.clear()

    def set_up(**options) -> Stage:
        return Stage(database, tmp_path, guard, **options)

    return set_up
