"""The tables of a journal of labels, one text a version: each brings a file of the version before it up."""

from __future__ import annotations

UPGRADES = (
    """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

    CREATE TABLE batches (
        id TEXT PRIMARY KEY,             -- random: the browser sees it
        reviewer TEXT NOT NULL,
        seed INTEGER NOT NULL,           -- of the order, and of the items' ids
        created_utc TEXT NOT NULL,
        versions TEXT NOT NULL           -- of the programs that drew it
    ) WITHOUT ROWID;

    CREATE TABLE items (
        id TEXT PRIMARY KEY,             -- random: the browser sees it
        batch TEXT NOT NULL REFERENCES batches (id),
        position INTEGER NOT NULL,
        place TEXT NOT NULL,             -- the same place, whoever judges it
        data TEXT NOT NULL,              -- surveys.places.Place: the browser does not see it before the batch is locked
        UNIQUE (batch, position)
    ) WITHOUT ROWID;

    CREATE TABLE events (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,         -- made by the browser: an event that is sent twice is kept once
        batch TEXT NOT NULL REFERENCES batches (id),
        item TEXT REFERENCES items (id), -- NULL: the whole batch is meant (lock)
        kind TEXT NOT NULL CHECK (kind IN ('verdict', 'undo', 'note', 'lock')),
        phase TEXT NOT NULL CHECK (phase IN ('blind', 'revealed')),
        verdict INTEGER CHECK (verdict BETWEEN 1 AND 5),
        text TEXT,
        shown TEXT NOT NULL,             -- how the place was shown: contrast, magnification, how long
        utc TEXT NOT NULL,
        CHECK ((kind = 'verdict') = (verdict IS NOT NULL)),
        CHECK ((kind = 'lock') = (item IS NULL))
    );
    CREATE INDEX events_by_batch ON events (batch);
    CREATE TRIGGER events_stay BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'label events are never changed'); END;
    CREATE TRIGGER events_last BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'label events are never removed'); END;

    CREATE TABLE sessions (digest TEXT PRIMARY KEY, created_utc TEXT NOT NULL) WITHOUT ROWID;
    """,
    """
    CREATE TABLE wanted (                -- what a person asked more of, once it was revealed
        id TEXT PRIMARY KEY,             -- made by the browser
        item TEXT NOT NULL REFERENCES items (id),
        name TEXT NOT NULL,              -- what the person calls it; empty: asked no more
        utc TEXT NOT NULL
    );
    """,
    """
    CREATE TABLE seeded (                -- known features in ordinary places, to see how many a person notices
        place TEXT PRIMARY KEY,
        data TEXT NOT NULL,              -- surveys.places.Place, with whence the feature is
        pictures BLOB NOT NULL,          -- review.feature.Feature.as_bytes
        utc TEXT NOT NULL
    ) WITHOUT ROWID;
    """,
)
