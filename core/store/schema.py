"""The tables, as a list of migrations. A home's version is the number of them it has been through.

A migration that has been released is never edited: a later one changes what it made.
"""

from __future__ import annotations

_VERSION_1 = (
    # `seq` orders runs: it only grows, whatever the clock does.
    """
    CREATE TABLE runs (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        model TEXT NOT NULL,
        recipe TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
        done REAL NOT NULL DEFAULT 0,
        total REAL NOT NULL DEFAULT 0,
        message TEXT NOT NULL DEFAULT '',
        created REAL NOT NULL,
        started REAL,
        finished REAL,
        attempts INTEGER NOT NULL DEFAULT 0,
        cause TEXT NOT NULL DEFAULT '',
        remedy TEXT NOT NULL DEFAULT '',
        cancel_requested INTEGER NOT NULL DEFAULT 0,
        tags TEXT NOT NULL DEFAULT '[]',
        notes TEXT NOT NULL DEFAULT '',
        parent TEXT
    )
    """,
    "CREATE INDEX runs_by_state ON runs (state, seq)",
    "CREATE INDEX runs_by_model ON runs (model, seq)",
    "CREATE INDEX runs_by_parent ON runs (parent) WHERE parent IS NOT NULL",
    """
    CREATE TABLE trials (
        run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        position INTEGER NOT NULL,
        key TEXT NOT NULL,
        label TEXT NOT NULL,
        prune TEXT,
        state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed')),
        started REAL,
        finished REAL,
        cause TEXT NOT NULL DEFAULT '',
        remedy TEXT NOT NULL DEFAULT '',
        PRIMARY KEY (run, position)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX trials_by_key ON trials (key)",
    "CREATE INDEX trials_by_state ON trials (run, state)",
    """
    CREATE TABLE candidates (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        key TEXT NOT NULL UNIQUE,
        label TEXT NOT NULL,
        model TEXT NOT NULL,
        method TEXT NOT NULL,
        baseline INTEGER NOT NULL,
        baseline_key TEXT,
        saved INTEGER NOT NULL,
        result TEXT NOT NULL,
        created REAL NOT NULL
    )
    """,
    "CREATE INDEX candidates_by_model ON candidates (model)",
    """
    CREATE TABLE measurements (
        candidate TEXT NOT NULL REFERENCES candidates (key) ON DELETE CASCADE,
        position INTEGER NOT NULL,
        metric TEXT NOT NULL,
        value REAL,
        unit TEXT NOT NULL,
        low REAL,
        high REAL,
        obtained TEXT NOT NULL,
        device TEXT NOT NULL,
        dtype TEXT NOT NULL,
        settings TEXT NOT NULL,
        PRIMARY KEY (candidate, position)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE events (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        time REAL NOT NULL,
        level TEXT NOT NULL,
        message TEXT NOT NULL,
        data TEXT NOT NULL DEFAULT '{}'
    )
    """,
    "CREATE INDEX events_by_run ON events (run, id)",
    """
    CREATE TABLE series (
        run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
        name TEXT NOT NULL,
        step INTEGER NOT NULL,
        value REAL,
        PRIMARY KEY (run, name, step)
    ) WITHOUT ROWID
    """,
)

# Which Retort ran it: figures of different versions may differ.
_VERSION_2 = ("ALTER TABLE runs ADD COLUMN version TEXT NOT NULL DEFAULT ''",)

# Blind votes: one for each pair of models and prompt, the pair in alphabetical order.
_VERSION_3 = (
    """
    CREATE TABLE votes (
        one TEXT NOT NULL,
        other TEXT NOT NULL,
        prompt TEXT NOT NULL,
        preferred TEXT NOT NULL CHECK (preferred IN ('one', 'other', 'neither')),
        created REAL NOT NULL,
        PRIMARY KEY (one, other, prompt)
    ) WITHOUT ROWID
    """,
)

# Who started a run and who voted; '' for the local user, where nobody signs in.
_VERSION_4 = (
    "ALTER TABLE runs ADD COLUMN started_by TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE votes ADD COLUMN voter TEXT NOT NULL DEFAULT ''",
)

# Charts of thousands of candidates: the first two are read instead of the tables, whose rows are hundreds of times as
# large; samples stand apart as float64, so that pairing does not parse results.
_VERSION_5 = (
    "CREATE INDEX candidates_light ON candidates (key, created, label, model, method, baseline, baseline_key, saved)",
    "CREATE INDEX measurements_light ON measurements (candidate, metric, value, low, high, obtained)",
    """
    CREATE TABLE samples (
        candidate TEXT NOT NULL REFERENCES candidates (key) ON DELETE CASCADE,
        metric TEXT NOT NULL,
        numbers BLOB NOT NULL,
        PRIMARY KEY (candidate, metric)
    ) WITHOUT ROWID
    """,
)

# No table changes: from here on the folders hold what the tables do (core/store/folders.py).
_VERSION_6: tuple[str, ...] = ()

# Roots, limits and cluster of whoever queued a run: whichever runner works on it goes by these. '' in older runs.
_VERSION_7 = ("ALTER TABLE runs ADD COLUMN settings TEXT NOT NULL DEFAULT ''",)

# What a run starts from stands in its recipe; nothing ever wrote here.
_VERSION_8 = ("DROP INDEX runs_by_parent", "ALTER TABLE runs DROP COLUMN parent")

# Saved comparisons (core/store/comparisons.py), and which candidates each has: they go with them.
_VERSION_9 = (
    """
    CREATE TABLE comparisons (
        id TEXT PRIMARY KEY,
        kind TEXT NOT NULL,
        models TEXT NOT NULL,
        title TEXT NOT NULL,
        settings TEXT NOT NULL,
        created REAL NOT NULL,
        made_by TEXT NOT NULL DEFAULT '',
        body TEXT NOT NULL
    )
    """,
    "CREATE INDEX comparisons_by_models ON comparisons (models, created)",
    """
    CREATE TABLE compared (
        comparison TEXT NOT NULL REFERENCES comparisons (id) ON DELETE CASCADE,
        candidate TEXT NOT NULL,
        PRIMARY KEY (comparison, candidate)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX compared_by_candidate ON compared (candidate)",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    _VERSION_1,
    _VERSION_2,
    _VERSION_3,
    _VERSION_4,
    _VERSION_5,
    _VERSION_6,
    _VERSION_7,
    _VERSION_8,
    _VERSION_9,
)
"""Statements that lead from version i to version i + 1."""

VERSION = len(MIGRATIONS)
RECORDED = 6
"""Homes of earlier versions have in their index only what later ones have in their folders too."""
