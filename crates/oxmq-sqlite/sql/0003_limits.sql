-- Deduplication, limits of a whole queue, metrics.

-- Who owns a deduplication id. Rows whose time is over mean nothing; a few go with each new one that has a time.
CREATE TABLE oxmq_claims (
    queue INTEGER NOT NULL,
    id    TEXT    NOT NULL,
    -- The id of the job, which may be gone.
    owner TEXT    NOT NULL,
    -- NULL: until the owner has finished.
    until INTEGER,
    PRIMARY KEY (queue, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX oxmq_claims_until ON oxmq_claims (queue, until) WHERE until IS NOT NULL;

-- The job that is added when the owner of a deduplication id has finished.
CREATE TABLE oxmq_successors (
    queue  INTEGER NOT NULL,
    -- The deduplication id.
    id     TEXT    NOT NULL,
    -- The number and the id that were given to the job.
    number INTEGER NOT NULL,
    job    TEXT    NOT NULL,
    name   TEXT    NOT NULL,
    data   TEXT    NOT NULL,
    opts   TEXT    NOT NULL,
    PRIMARY KEY (queue, id)
) STRICT, WITHOUT ROWID;

-- The most active jobs, and the most takes in a window of so many ms; 0 is no limit.
ALTER TABLE oxmq_queues ADD COLUMN concurrency INTEGER NOT NULL DEFAULT 0;
ALTER TABLE oxmq_queues ADD COLUMN rate_max    INTEGER NOT NULL DEFAULT 0;
ALTER TABLE oxmq_queues ADD COLUMN rate_ms     INTEGER NOT NULL DEFAULT 0;

-- What was counted of the jobs that ended in a state (4 completed, 5 failed).
CREATE TABLE oxmq_metrics (
    queue      INTEGER NOT NULL,
    state      INTEGER NOT NULL CHECK (state IN (4, 5)),
    total      INTEGER NOT NULL,
    -- When, and at which total, the last point was made.
    prev_at    INTEGER NOT NULL,
    prev_total INTEGER NOT NULL,
    -- How many points there are, those of minutes in which nothing ended included.
    points     INTEGER NOT NULL,
    PRIMARY KEY (queue, state)
) STRICT, WITHOUT ROWID;

-- The points that are not 0. The newest point of a state is that of the minute before `prev_at`.
CREATE TABLE oxmq_metric_points (
    queue  INTEGER NOT NULL,
    state  INTEGER NOT NULL,
    -- Minutes since 1970.
    minute INTEGER NOT NULL,
    ended  INTEGER NOT NULL,
    PRIMARY KEY (queue, state, minute)
) STRICT, WITHOUT ROWID;
