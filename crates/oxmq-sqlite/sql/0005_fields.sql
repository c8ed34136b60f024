-- Named fields of a queue. Those that the row of the queue has (paused, limits, kept events) are not here.
CREATE TABLE oxmq_fields (
    queue INTEGER NOT NULL,
    name  TEXT    NOT NULL,
    value TEXT    NOT NULL,
    PRIMARY KEY (queue, name)
) STRICT, WITHOUT ROWID;
