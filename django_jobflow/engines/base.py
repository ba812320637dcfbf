"""The contract of the seam, implemented once with portable ORM statements.

Every write of a state is guarded by the state, the holder and the attempt that it starts
from, and says which rows it hit. An engine of a database overrides only what differs there.
"""

from __future__ import annotations

from django_jobflow.engines.batches import BatchVerbs
from django_jobflow.engines.controlling import Controlling
from django_jobflow.engines.counting import Counting
from django_jobflow.engines.elsewhere import Elsewhere
from django_jobflow.engines.exchanging import Exchanging
from django_jobflow.engines.expiring import Expiring
from django_jobflow.engines.key_limits import KeyLimiting
from django_jobflow.engines.purging import Purging
from django_jobflow.engines.remembering import Remembering
from django_jobflow.engines.rescuing import Rescuing
from django_jobflow.engines.tagging import Tagging
from django_jobflow.engines.verbs import RecordVerbs
from django_jobflow.engines.workers import Registering


class Engine(
    RecordVerbs,
    KeyLimiting,
    Elsewhere,
    Exchanging,
    Rescuing,
    Expiring,
    BatchVerbs,
    Purging,
    Counting,
    Remembering,
    Registering,
    Tagging,
    Controlling,
):
    """The verbs on one database, through that database's connection of this thread."""
