-- Schedules. A job that one made has bit 128 in `oxmq_jobs.flags` and the id `repeat:<schedule>:<slot>`.

CREATE TABLE oxmq_schedules (
    queue   INTEGER NOT NULL,
    id      TEXT    NOT NULL,
    -- The slot of the current job in ms, and its row; the row may be gone.
    slot    INTEGER NOT NULL,
    job     INTEGER NOT NULL,
    -- How many jobs it has made.
    made    INTEGER NOT NULL CHECK (made >= 0),
    -- Of "every": how far the slots are from its multiples, in ms.
    offset  INTEGER NOT NULL,
    -- The rule, and what its jobs are.
    rule    TEXT    NOT NULL,
    name    TEXT    NOT NULL,
    data    TEXT    NOT NULL,
    opts    TEXT    NOT NULL,
    PRIMARY KEY (queue, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX oxmq_schedules_slot ON oxmq_schedules (queue, slot, id);
CREATE INDEX oxmq_schedules_job ON oxmq_schedules (job);
