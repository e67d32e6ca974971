"""The library's tables, one text a version."""

from __future__ import annotations

UPGRADES: tuple[str, ...] = (
    """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

    CREATE TABLE experiments (
        id INTEGER PRIMARY KEY,
        uid TEXT UNIQUE NOT NULL,
        content TEXT NOT NULL,           -- SHA-256 of data
        origin TEXT NOT NULL,            -- id of the library that it was first added to
        added_utc TEXT NOT NULL,
        kind TEXT NOT NULL, technique TEXT NOT NULL, specimen TEXT, created_utc TEXT,
        voltage_kV REAL, current_pA REAL, dwell_us REAL, pixel_size_nm REAL, fluence_e_per_A2 REAL, temperature_K REAL,
        frames INTEGER, usable_frames INTEGER,
        data TEXT NOT NULL               -- archive.library_records.Experiment
    );
    CREATE INDEX experiments_by_content ON experiments (content);
    CREATE INDEX experiments_by_specimen ON experiments (specimen);
    CREATE INDEX experiments_by_technique ON experiments (technique);

    -- Elements and technique are words too (zelsr, zteeels), so that one index answers them together.
    CREATE VIRTUAL TABLE words USING fts5 (text, facets);
    CREATE VIRTUAL TABLE terms USING fts5vocab (words, col);

    -- Boxes without width, by logarithms: a range of settings is one query.
    CREATE VIRTUAL TABLE settings USING rtree (
        id, voltage_low, voltage_high, current_low, current_high, dwell_low, dwell_high, pixel_low, pixel_high,
        fluence_low, fluence_high
    );

    CREATE TABLE embeddings (
        experiment INTEGER NOT NULL, model TEXT NOT NULL, vector BLOB NOT NULL, PRIMARY KEY (experiment, model)
    ) WITHOUT ROWID;

    CREATE TABLE results (
        id INTEGER PRIMARY KEY,
        content TEXT UNIQUE NOT NULL,
        origin TEXT NOT NULL,
        added_utc TEXT NOT NULL,
        specimen TEXT NOT NULL, quantity TEXT NOT NULL, technique TEXT NOT NULL, unit TEXT NOT NULL,
        value REAL NOT NULL, uncertainty REAL,
        data TEXT NOT NULL               -- archive.library_records.Result
    );
    CREATE INDEX results_by_specimen ON results (specimen);
    CREATE INDEX results_by_quantity ON results (quantity, value);

    CREATE TABLE conflicts (
        id INTEGER PRIMARY KEY,
        uid TEXT NOT NULL, theirs TEXT NOT NULL, origin TEXT NOT NULL, added_utc TEXT NOT NULL, rule TEXT NOT NULL,
        UNIQUE (uid, theirs)
    );

    CREATE TABLE imports (
        id INTEGER PRIMARY KEY,
        sha256 TEXT NOT NULL, name TEXT NOT NULL, origin TEXT NOT NULL, author TEXT, licence TEXT,
        added_utc TEXT NOT NULL, counts TEXT NOT NULL
    );
    """,
    """
    CREATE TABLE places (                -- archive.library_places.Place, of surveys
        experiment INTEGER NOT NULL, exposure INTEGER NOT NULL, target INTEGER NOT NULL, flagged INTEGER NOT NULL,
        vector BLOB NOT NULL, PRIMARY KEY (experiment, exposure, target)
    ) WITHOUT ROWID;
    """,
    """
    CREATE TABLE campaigns (             -- archive.campaign_entries.Entry; only ever added to
        id INTEGER PRIMARY KEY,
        content TEXT UNIQUE NOT NULL,    -- SHA-256 of data
        campaign TEXT NOT NULL, laboratory TEXT NOT NULL, number INTEGER NOT NULL,
        origin TEXT NOT NULL, added_utc TEXT NOT NULL,
        data TEXT NOT NULL
    );
    CREATE INDEX campaigns_by_number ON campaigns (campaign, laboratory, number);
    """,
    """
    CREATE TABLE overviews (             -- archive.library_overview.Overview, of surveys
        experiment INTEGER PRIMARY KEY, names TEXT NOT NULL, quantiles BLOB NOT NULL
    );
    CREATE TABLE overview_sites (
        experiment INTEGER NOT NULL, target INTEGER NOT NULL, above REAL NOT NULL, interest REAL NOT NULL,
        flagged INTEGER NOT NULL, verdict REAL, vector BLOB NOT NULL, PRIMARY KEY (experiment, target)
    ) WITHOUT ROWID;
    CREATE TRIGGER overviews_follow AFTER DELETE ON experiments BEGIN
        DELETE FROM overviews WHERE experiment = OLD.id;
        DELETE FROM overview_sites WHERE experiment = OLD.id;
    END;
    """,
)
"""As ``archive.sqlite_writing`` takes them."""
