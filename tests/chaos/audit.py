"""Triggers that note each change of a record's state, holder or attempt.

What must hold is then asked of the database, and not of the code that has to keep to it.
"""

from __future__ import annotations

INSERT = """INSERT INTO chaos_move
    (job, {before}, {after}, attempt, max_attempts, former, holder, at) VALUES ({values})"""

# Of an insert, an update and a delete: the values of the columns but for the last.
VALUES = {
    "INSERT": "NEW.id, '', NEW.state, NEW.attempt, NEW.max_attempts, '', ''",
    "UPDATE": "NEW.id, OLD.state, NEW.state, NEW.attempt, NEW.max_attempts,"
    " COALESCE(OLD.reserved_by, ''), COALESCE(NEW.reserved_by, '')",
    "DELETE": "OLD.id, OLD.state, '', OLD.attempt, OLD.max_attempts,"
    " COALESCE(OLD.reserved_by, ''), ''",
}
WATCHED = ("state", "attempt", "reserved_by")


def _insert(event: str, clock: str, quote: str = '"') -> str:
    before, after = f"{quote}before{quote}", f"{quote}after{quote}"
    return INSERT.format(before=before, after=after, values=f"{VALUES[event]}, {clock}")


def postgresql() -> list[str]:
    """Return the statements that set the triggers up."""
    clock = "EXTRACT(EPOCH FROM CLOCK_TIMESTAMP())"
    statements = []
    for event in VALUES:
        name = f"chaos_{event.lower()}"
        changed = " OR ".join(f"OLD.{each} IS DISTINCT FROM NEW.{each}" for each in WATCHED)
        when = f"WHEN ({changed})" if event == "UPDATE" else ""
        statements += [
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$"
            f" BEGIN {_insert(event, clock)}; RETURN NULL; END $$",
            f"CREATE TRIGGER {name} AFTER {event} ON jobflow_job"
            f" FOR EACH ROW {when} EXECUTE FUNCTION {name}()",
        ]
    return statements


def mysql() -> list[str]:
    clock = "UNIX_TIMESTAMP(SYSDATE(6))"
    same = " AND ".join(f"OLD.{each} <=> NEW.{each}" for each in WATCHED)
    bodies = {event: f"{_insert(event, clock, '`')}" for event in VALUES}
    bodies["UPDATE"] = f"IF NOT ({same}) THEN {bodies['UPDATE']}; END IF"
    return [
        f"CREATE TRIGGER chaos_{event.lower()} AFTER {event} ON jobflow_job FOR EACH ROW {body}"
        for event, body in bodies.items()
    ]


def sqlite() -> list[str]:
    clock = "(julianday('now') - 2440587.5) * 86400"
    changed = " OR ".join(f"OLD.{each} IS NOT NEW.{each}" for each in WATCHED)
    return [
        f"CREATE TRIGGER chaos_{event.lower()} AFTER {event} ON jobflow_job FOR EACH ROW"
        f" {f'WHEN {changed}' if event == 'UPDATE' else ''}"
        f" BEGIN {_insert(event, clock)}; END"
        for event in VALUES
    ]
