"""What PostgreSQL tells of itself: a few small statements on its catalogs and statistics."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from django_jobflow import conf
from django_jobflow.doctor.asking import Patient, listed, shown, tables
from django_jobflow.doctor.values import Finding, Severity, Size
from django_jobflow.sentences import moment

MANY_DEAD = 10_000  # rows, below which no share of them matters
OLD_SNAPSHOT = timedelta(minutes=5)
ANCIENT_SNAPSHOT = timedelta(hours=1)
LARGE_INDEX = 64 * 1024 * 1024  # bytes, below which no index is worth the work
WIDE_ENTRY = 400  # bytes of an index for each of its entries
MANY_ROWS = 10_000  # of which the planner should know something
CONNECTIONS_USED = 0.8  # of those that the server takes

OF_TABLES = "relname = ANY(%s) AND pg_table_is_visible(relid)"


def sizes(patient: Patient) -> list[Size]:
    """Return what the tables take, the largest first."""
    rows = patient.rows(
        f"""SELECT relname, n_live_tup, pg_table_size(relid), pg_indexes_size(relid), n_dead_tup,
            GREATEST(last_vacuum, last_autovacuum)
        FROM pg_stat_user_tables WHERE {OF_TABLES} ORDER BY pg_total_relation_size(relid) DESC""",
        [tables()],
    )
    return [Size(*row) for row in rows]


def standby(patient: Patient) -> Iterator[Finding]:
    """Notice a server that only follows another one."""
    if patient.value("SELECT pg_is_in_recovery()"):
        yield Finding(
            "read_only",
            Severity.ERROR,
            _("The server is a standby: nothing can be written."),
            _("Point DATABASES to the primary, or promote this one."),
        )


def durability(patient: Patient) -> Iterator[Finding]:
    """Notice a server that may forget what it has committed."""
    for name in ("fsync", "full_page_writes"):
        if patient.value("SELECT current_setting(%s)", [name]) != "on":
            yield Finding(
                f"{name}_off",
                Severity.WARNING,
                _("%(name)s is off: a crash of the host can destroy the database.")
                % {"name": name},
                _("Set %(name)s = on, unless the data may be lost.") % {"name": name},
            )


def autovacuum(patient: Patient) -> Iterator[Finding]:
    """Notice tables that nobody clears."""
    off = [
        name
        for name in ("autovacuum", "track_counts")
        if patient.value("SELECT current_setting(%s)", [name]) != "on"
    ]
    tables_off = [
        table
        for (table,) in patient.rows(
            "SELECT relname FROM pg_class WHERE relname = ANY(%s) AND pg_table_is_visible(oid) "
            "AND reloptions && ARRAY['autovacuum_enabled=false', 'autovacuum_enabled=off']",
            [tables()],
        )
    ]
    if off or tables_off:
        yield Finding(
            "autovacuum_off",
            Severity.ERROR,
            _("Autovacuum is off, for %(names)s: dead rows stay, and fetches get slower.")
            % {"names": listed(tables_off or off)},
            _("Set autovacuum and track_counts to on, and reset autovacuum_enabled of tables."),
            {"settings": off, "tables": tables_off},
        )


def dead_rows(patient: Patient) -> Iterator[Finding]:
    """Notice tables with more dead rows than living ones."""
    rows = patient.rows(
        f"""SELECT relname, n_dead_tup, n_live_tup, GREATEST(last_vacuum, last_autovacuum)
        FROM pg_stat_user_tables
        WHERE {OF_TABLES} AND n_dead_tup >= %s AND n_dead_tup >= n_live_tup""",
        [tables(), MANY_DEAD],
    )
    for table, dead, live, vacuumed_at in rows:
        yield Finding(
            "dead_rows",
            Severity.WARNING,
            _(
                "%(table)s has %(dead)s dead rows beside %(live)s living ones; last vacuum: "
                "%(when)s."
            )
            % {
                "table": table,
                "dead": f"{dead:,}",
                "live": f"{live:,}",
                "when": moment(vacuumed_at) if vacuumed_at else _("never"),
            },
            _(
                "Look for an old snapshot first: while one is held, nothing helps. "
                "Then: %(statement)s"
            )
            % {"statement": f"VACUUM (ANALYZE) {table};"},
            {
                "table": table,
                "dead": dead,
                "live": live,
                "vacuumed_at": vacuumed_at and vacuumed_at.isoformat(),
            },
        )


def statistics(patient: Patient) -> Iterator[Finding]:
    """Notice tables that the planner knows nothing of."""
    rows = patient.rows(
        f"""SELECT relname, n_live_tup FROM pg_stat_user_tables
        WHERE {OF_TABLES} AND n_live_tup >= %s
            AND last_analyze IS NULL AND last_autoanalyze IS NULL""",
        [tables(), MANY_ROWS],
    )
    for table, live in rows:
        yield Finding(
            "never_analyzed",
            Severity.WARNING,
            _("%(table)s has %(live)s rows and was never analyzed: plans are guesses.")
            % {"table": table, "live": f"{live:,}"},
            _("Run: %(statement)s") % {"statement": f"ANALYZE {table};"},
            {"table": table, "live": live},
        )


def indexes(patient: Patient) -> Iterator[Finding]:
    """Notice indexes that are broken, or mostly empty."""
    rows = patient.rows(
        """SELECT index.relname, own.relname, indisvalid AND indisready,
            pg_relation_size(index.oid), GREATEST(index.reltuples, 0)
        FROM pg_index JOIN pg_class AS index ON index.oid = indexrelid
            JOIN pg_class AS own ON own.oid = indrelid
        WHERE own.relname = ANY(%s) AND pg_table_is_visible(own.oid) ORDER BY index.relname""",
        [tables()],
    )
    for name, table, is_valid, size, entries in rows:
        statement = {"statement": f"REINDEX INDEX CONCURRENTLY {name};"}
        facts = {"table": table, "name": name, "bytes": size, "entries": int(entries)}
        if not is_valid:
            yield Finding(
                "index_invalid",
                Severity.ERROR,
                _("The index %(name)s is not valid, and not used.") % {"name": name},
                _("Run: %(statement)s") % statement,
                facts,
            )
        elif size >= LARGE_INDEX and size > WIDE_ENTRY * entries:
            yield Finding(
                "index_bloated",
                Severity.WARNING,
                _("The index %(name)s takes %(size)s for %(entries)s entries.")
                % {"name": name, "size": shown(size), "entries": f"{int(entries):,}"},
                _("Run, once no old snapshot is held: %(statement)s") % statement,
                facts,
            )


SNAPSHOTS = """
SELECT 'session', pid::text, usename::text, application_name, host(client_addr), state,
    clock_timestamp() - xact_start, age(COALESCE(backend_xmin, backend_xid))
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
    AND COALESCE(backend_xmin, backend_xid) IS NOT NULL AND xact_start IS NOT NULL
UNION ALL
SELECT 'prepared', gid, owner::text, '', NULL, 'prepared',
    clock_timestamp() - prepared, age(transaction)
FROM pg_prepared_xacts WHERE database = current_database()
"""


def snapshots(patient: Patient) -> Iterator[Finding]:
    """Notice who keeps the dead rows of everybody from being cleared, and for how long."""
    rows = patient.rows(
        f"SELECT * FROM ({SNAPSHOTS}) AS held (kind, who, owner, application, client, state, held,"
        " age) WHERE held >= %s ORDER BY held DESC LIMIT 5",
        [OLD_SNAPSHOT],
    )
    for row in rows:
        yield _snapshot(*row)


def _snapshot(
    kind: str,
    who: str,
    owner: str | None,
    application: str | None,
    client: str | None,
    state: str | None,
    held: timedelta,
    age: int,
) -> Finding:
    names = ", ".join(filter(None, [owner, application, client])) or "?"
    minutes = int(held.total_seconds() // 60)
    text = _("a prepared transaction %(who)s of %(names)s")
    advice = _("Commit or roll it back: %(statement)s")
    statement = f"ROLLBACK PREPARED '{who}';"
    if kind == "session":
        text = _("session %(who)s of %(names)s (%(state)s)")
        advice = _("End what it does, or the session: %(statement)s")
        statement = f"SELECT pg_terminate_backend({who});"
    holder = text % {"who": who, "names": names, "state": state or "?"}
    return Finding(
        "old_snapshot",
        Severity.ERROR if held >= ANCIENT_SNAPSHOT else Severity.WARNING,
        ngettext(
            "A snapshot is held for %(minutes)s minute by %(holder)s; no dead row that is younger "
            "can be cleared.",
            "A snapshot is held for %(minutes)s minutes by %(holder)s; no dead row that is "
            "younger can be cleared.",
            minutes,
        )
        % {"minutes": f"{minutes:,}", "holder": holder},
        advice % {"statement": statement},
        {
            "kind": kind,
            "who": who,
            "owner": owner,
            "application": application,
            "client": client,
            "state": state,
            "seconds": round(held.total_seconds()),
            "transactions": age,
        },
    )


def slots(patient: Patient) -> Iterator[Finding]:
    """Notice a replication slot that nobody reads."""
    rows = patient.rows(
        """SELECT slot_name::text, GREATEST(age(xmin), age(catalog_xmin)) FROM pg_replication_slots
        WHERE NOT active AND (restart_lsn IS NOT NULL OR COALESCE(xmin, catalog_xmin) IS NOT NULL)
        ORDER BY slot_name"""
    )
    for name, age in rows:
        yield Finding(
            "slot_unread",
            Severity.WARNING,
            _("The replication slot %(name)s is read by nobody, and keeps the log or dead rows.")
            % {"name": name},
            _("If its standby is gone: %(statement)s")
            % {"statement": f"SELECT pg_drop_replication_slot('{name}');"},
            {"name": name, "transactions": age},
        )


def connections(patient: Patient) -> Iterator[Finding]:
    """Notice a server that soon takes no more connections."""
    [(used, most)] = patient.rows(
        "SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'), "
        "current_setting('max_connections')::int"
    )
    if used >= CONNECTIONS_USED * most:
        yield Finding(
            "connections_used_up",
            Severity.WARNING,
            _("%(used)d of %(most)d connections of the server are in use.")
            % {"used": used, "most": most},
            _("Run fewer processes or threads, put a pooler before it, or raise max_connections."),
            {"used": used, "most": most},
        )


def pooler(patient: Patient) -> Iterator[Finding]:
    """Notice a pooler: it tells another number of the session than the session itself.

    Whoever talks to the server itself is told at the beginning which process serves it, for
    the sake of cancelling. A pooler hands out numbers of its own.
    """
    raw: Any = patient.connection.connection
    own = patient.value("SELECT pg_backend_pid()")
    if raw.info.backend_pid == own:
        return
    is_said = bool(patient.connection.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS"))
    is_said = is_said or conf.current().WAKE_UP == "poll"
    yield Finding(
        "pooler",
        Severity.NOTICE if is_said else Severity.WARNING,
        _("There is a pooler between this host and the server."),
        ""
        if is_said
        else _(
            "If it pools transactions, set DISABLE_SERVER_SIDE_CURSORS, and let the workers go "
            "past it, or set JOBFLOW['WAKE_UP'] = 'poll'."
        ),
    )


CHECKS = (
    standby,
    durability,
    autovacuum,
    snapshots,
    slots,
    dead_rows,
    statistics,
    indexes,
    connections,
    pooler,
)
