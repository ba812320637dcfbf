"""The tests' settings, with a module beside them that a test changes."""

import watched  # noqa: F401

from tests.settings import *  # noqa: F403
