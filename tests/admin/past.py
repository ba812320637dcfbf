"""A past for the overview to draw."""

from datetime import timedelta

from django_jobflow.engines import engine_for
from django_jobflow.history import RUN, WAIT, WORDS, class_of


def write_past(now, *, minutes, other="imports"):
    """Write what the workers of a shop might have counted in the *minutes* before *now*.

    Args:
        other: The name of the queue beside that of the mail.
    """
    engine = engine_for("default")
    for ago in reversed(range(minutes)):
        moment = now - timedelta(minutes=ago)
        busy = 40 + (ago * 37) % 50
        email = {
            "succeeded": busy,
            "retried": ago % 7,
            "failed": int(ago % 20 == 3) * 4,
            WORDS[WAIT][class_of(0.03)]: busy,
            WORDS[WAIT][class_of(0.4 + ago % 9)]: 5,
            WORDS[RUN][class_of(0.25)]: busy,
            WORDS[RUN][class_of(1.5)]: 6,
        }
        seldom = {"succeeded": 3, WORDS[WAIT][class_of(2)]: 3, WORDS[RUN][class_of(12)]: 3}
        engine.write_history(moment, {"email": email, other: seldom})
        waits = {"waiting": 5 + (ago * 13) % 40, "held": 4}
        engine.write_history(moment, {"": {}, "email": waits}, samples=1)
    engine.fold_history()
