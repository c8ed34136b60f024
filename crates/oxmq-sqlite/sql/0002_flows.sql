-- Schema 2: parents and children. By name, because they may be in different queues, and each outlasts the other. Jobs that have
-- rows here have a bit in their flags: 16 a row in oxmq_parents, 32 rows in oxmq_children as a parent.

-- A child's parent, and what the child's failure does to it: 0 nothing, 1 fail, 2 go on, 3 ignore, 4 forget.
CREATE TABLE oxmq_parents (
    seq        INTEGER PRIMARY KEY,
    prefix     TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    id         TEXT    NOT NULL,
    on_failure INTEGER NOT NULL DEFAULT 0 CHECK (on_failure BETWEEN 0 AND 4)
) STRICT;

-- What a parent knows of its children.
CREATE TABLE oxmq_children (
    parent INTEGER NOT NULL,
    -- 1 processed (value: the result), 2 pending, 3 ignored (value: why it failed), 4 failed (at_ms: when).
    kind   INTEGER NOT NULL CHECK (kind BETWEEN 1 AND 4),
    prefix TEXT    NOT NULL,
    name   TEXT    NOT NULL,
    id     TEXT    NOT NULL,
    value  TEXT,
    at_ms  INTEGER,
    PRIMARY KEY (parent, kind, prefix, name, id),
    CHECK ((value IS NOT NULL) = (kind IN (1, 3))),
    CHECK ((at_ms IS NOT NULL) = (kind = 4))
) STRICT, WITHOUT ROWID;
