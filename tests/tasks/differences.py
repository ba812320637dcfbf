"""Where our backend is meant to differ from what Django's own tests say of Django's backends.

By the name of the class and of the test. Whatever is not in here has to pass, and what is in
here has to fail.
"""

import sys

MEMORY = "It changes a result in the memory of Django's dummy. Ours reads the database again."
CAN = "Django's immediate backend keeps nothing and cannot wait. Ours can: {}."
OLD_PYTHON = "It knows how Python 3.12 words an error, and Django 6.0 does not run on 3.11."

EVERYWHERE = (
    {"CustomBackendTestCase.test_no_enqueue": OLD_PYTHON} if sys.version_info < (3, 12) else {}
)

WORKER = EVERYWHERE | {
    "DummyBackendTestCase.test_refresh_result": MEMORY,
    "DummyBackendTestCase.test_refresh_result_async": MEMORY,
    "ImmediateBackendTestCase.test_cannot_get_result": CAN.format("results are read by id"),
    "ImmediateBackendTestCase.test_cannot_refresh_result": CAN.format("results are refreshed"),
    "ImmediateBackendTestCase.test_cannot_pass_run_after": CAN.format("run_after is a due time"),
}
"""Of JobflowBackend, with a worker that drains."""

TOLERANT = EVERYWHERE
"""Of our ImmediateBackend and DummyBackend, with our decorator."""
