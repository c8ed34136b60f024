-- Schema 1. Times are milliseconds since 1970 in UTC. All names begin with `oxmq_`, because the tables may live in
-- an application's own database file; for the same reason the version is a row here and not `PRAGMA user_version`,
-- and no AUTOINCREMENT is used, which would make a table of another name.

CREATE TABLE IF NOT EXISTS oxmq_meta (
    key   TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- One row per queue: everything that each write to the queue needs, read once and written back once in a transaction.
CREATE TABLE oxmq_queues (
    -- Never given twice (oxmq_meta, `last_queue`), so that a cursor into the events of an obliterated queue is known
    -- as such. At most 2^23, see oxmq_jobs.seq.
    no            INTEGER PRIMARY KEY CHECK (no > 0 AND no < 8388608),
    prefix        TEXT    NOT NULL,
    name          TEXT    NOT NULL,
    created_at    INTEGER NOT NULL,
    -- The last number given to a job, to a place in the order, to an event.
    last_id       INTEGER NOT NULL DEFAULT 0,
    last_ord      INTEGER NOT NULL DEFAULT 0,
    event_no      INTEGER NOT NULL DEFAULT 0,
    event_cap     INTEGER NOT NULL DEFAULT 10000,
    paused        INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1)),
    -- Nothing is given before; 0 is no limit.
    limited_until INTEGER NOT NULL DEFAULT 0,
    -- The rate window that is running, and the takes in it.
    rate_until    INTEGER NOT NULL DEFAULT 0,
    rate_count    INTEGER NOT NULL DEFAULT 0,
    -- Grow whenever waiting workers should look, and whenever somebody asks to cancel a running job: what a process
    -- compares to know which of its waits to end.
    wake_no       INTEGER NOT NULL DEFAULT 0,
    cancel_no     INTEGER NOT NULL DEFAULT 0,
    -- How many jobs are in each state. Counting them anew costs milliseconds in a big queue, and retention by count
    -- asks at every finish. Not checked to be positive: a wrong count must not stop a queue.
    waiting          INTEGER NOT NULL DEFAULT 0,
    prioritized      INTEGER NOT NULL DEFAULT 0,
    delayed          INTEGER NOT NULL DEFAULT 0,
    active           INTEGER NOT NULL DEFAULT 0,
    completed        INTEGER NOT NULL DEFAULT 0,
    failed           INTEGER NOT NULL DEFAULT 0,
    waiting_children INTEGER NOT NULL DEFAULT 0,
    UNIQUE (prefix, name)
) STRICT;

-- The part of a job that moves. Small rows: with 4 KB payloads in the same row everything is three times slower.
CREATE TABLE oxmq_jobs (
    -- queue number << 40 | number of the job: a decimal id needs no index of its own.
    seq          INTEGER PRIMARY KEY,
    queue        INTEGER NOT NULL CHECK (queue = seq >> 40),
    -- The producer's own id; NULL: the id is the number of the job.
    custom_id    TEXT,
    -- 1 waiting, 2 delayed, 3 active, 4 completed, 5 failed, 6 waiting for children.
    state        INTEGER NOT NULL CHECK (state BETWEEN 1 AND 6),
    -- rank and ord are the job's place in its state:
    --   waiting    0 or, if it waits by priority, the priority; then a growing number (negative to be before all)
    --   delayed    0; due time << 20 | order among those due in the same millisecond
    --   active     number of the take; end of the lease (0 without a lease)
    --   finished   0; finish time << 20 | order of finishing in the same millisecond
    --   children   0; since when << 20 | order among those of the same millisecond
    rank         INTEGER NOT NULL,
    ord          INTEGER NOT NULL,
    priority     INTEGER NOT NULL DEFAULT 0 CHECK (priority >= 0),
    -- Bits: 1 lifo, 2 somebody asked to cancel it (oxmq_cancels), 4 has a row in oxmq_results, 8 has log lines,
    -- 16 and 32 see 0002_flows.sql.
    -- They spare a look into tables where nearly no job has a row.
    flags        INTEGER NOT NULL DEFAULT 0,
    delay        INTEGER NOT NULL DEFAULT 0,
    timestamp    INTEGER NOT NULL,
    processed_on INTEGER,
    finished_on  INTEGER,
    -- When retention by age removes it.
    expire_at    INTEGER,
    -- Takes, tries that ended, deaths of the worker.
    ats          INTEGER NOT NULL DEFAULT 0,
    atm          INTEGER NOT NULL DEFAULT 0,
    stc          INTEGER NOT NULL DEFAULT 0,
    -- Whose lease it is under, and the name of the worker that took it last.
    token        TEXT,
    worker       TEXT,
    CHECK ((finished_on IS NOT NULL) = (state IN (4, 5))),
    CHECK (token IS NULL OR state = 3),
    CHECK (expire_at IS NULL OR state IN (4, 5)),
    CHECK (rank = 0 OR state IN (1, 3)),
    CHECK (flags & 2 = 0 OR state = 3)
) STRICT;

-- THE index: taking, promoting, the stalled check, retention and every list is one range of it.
CREATE INDEX oxmq_jobs_place ON oxmq_jobs (queue, state, rank, ord);
CREATE UNIQUE INDEX oxmq_jobs_custom ON oxmq_jobs (queue, custom_id) WHERE custom_id IS NOT NULL;
CREATE INDEX oxmq_jobs_expire ON oxmq_jobs (queue, expire_at) WHERE expire_at IS NOT NULL;

CREATE TABLE oxmq_payloads (
    seq  INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    data TEXT NOT NULL,
    opts TEXT NOT NULL
) STRICT;

CREATE TABLE oxmq_results (
    seq              INTEGER PRIMARY KEY,
    returnvalue      TEXT,
    failed_reason    TEXT,
    stacktrace       TEXT,
    progress         TEXT,
    deferred_failure TEXT
) STRICT;

CREATE TABLE oxmq_logs (
    seq  INTEGER NOT NULL,
    no   INTEGER NOT NULL,
    line TEXT    NOT NULL,
    PRIMARY KEY (seq, no)
) STRICT, WITHOUT ROWID;

-- One row per transaction and queue; unpacked when read. Numbers first_no .. last_no.
CREATE TABLE oxmq_events (
    queue    INTEGER NOT NULL,
    last_no  INTEGER NOT NULL,
    first_no INTEGER NOT NULL CHECK (first_no <= last_no),
    at_ms    INTEGER NOT NULL,
    body     TEXT    NOT NULL,
    PRIMARY KEY (queue, last_no)
) STRICT, WITHOUT ROWID;

-- Requests to cancel running jobs, each bound to the attempt that is meant. Nearly always empty.
CREATE TABLE oxmq_cancels (
    seq    INTEGER PRIMARY KEY,
    token  TEXT    NOT NULL,
    reason TEXT    NOT NULL,
    at_ms  INTEGER NOT NULL
) STRICT;

CREATE TABLE oxmq_workers (
    queue      INTEGER NOT NULL,
    id         TEXT    NOT NULL,
    info       TEXT    NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (queue, id)
) STRICT, WITHOUT ROWID;
