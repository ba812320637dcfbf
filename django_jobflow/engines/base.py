"""The contract of the seam, implemented once with portable ORM statements.

Every write of a state is guarded by the state, the holder and the attempt that it starts
from, and says which rows it hit. An engine of a database overrides only what differs there.
"""

from __future__ import annotations

from django_jobflow.engines.rescuing import Rescuing
from django_jobflow.engines.storing import Storing
from django_jobflow.engines.verbs import RecordVerbs
from django_jobflow.engines.workers import Registering


class Engine(Storing, RecordVerbs, Rescuing, Registering):
    """The verbs on one database, through that database's connection of this thread."""
