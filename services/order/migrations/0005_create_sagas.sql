-- What becomes of orders; services/order/service/orchestrator.py tells how these are used.
CREATE TABLE sagas (
    order_id    uuid        PRIMARY KEY REFERENCES orders,
    position    int         NOT NULL,             -- entries in its log
    epoch       bigint      NOT NULL DEFAULT 0,   -- counts the claims
    due_at      timestamptz,                      -- when anybody may claim it; NULL once it has ended
    attempts    int         NOT NULL DEFAULT 0,   -- at what comes next, in vain
    next_since  timestamptz NOT NULL DEFAULT clock_timestamp(),   -- when that came next
    problem     text        NOT NULL DEFAULT '',  -- why the latest attempt was in vain
    traceparent text        NOT NULL,             -- of the request that has placed the order
    began_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE INDEX sagas_due ON sagas (due_at) WHERE due_at IS NOT NULL;

CREATE TABLE saga_log (
    order_id uuid        NOT NULL REFERENCES sagas,
    position int         NOT NULL,                -- from 1
    action   text        NOT NULL,                -- a command or a compensation
    outcome  text        NOT NULL CHECK (outcome IN ('done', 'refused', 'abandoned')),
    reason   text        NOT NULL,                -- why it was refused or abandoned
    attempts int         NOT NULL,                -- the last one included
    began_at timestamptz NOT NULL,                -- when it came next
    ended_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (order_id, position),
    CHECK ((outcome = 'done') = (reason = ''))
);

-- Orders that have been pending since before there were sagas are taken up now.
INSERT INTO sagas (order_id, position, due_at, traceparent)
SELECT order_id, 1, clock_timestamp(), '' FROM orders WHERE status = 'PENDING';
INSERT INTO saga_log (order_id, position, action, outcome, reason, attempts, began_at)
SELECT order_id, 1, 'place_order', 'done', '', 1, placed_at FROM orders WHERE status = 'PENDING';
