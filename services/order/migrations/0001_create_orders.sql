CREATE TABLE orders (
    order_id   uuid        PRIMARY KEY,          -- version 7: sorts by the time of placing
    user_id    uuid        NOT NULL,
    amount     bigint      NOT NULL CHECK (amount >= 0),   -- the total, in minor units
    currency   char(3)     NOT NULL,                       -- ISO 4217; the items' too
    status     text        NOT NULL CHECK (status IN ('PENDING', 'CONFIRMED', 'CANCELLED')),
    reason     text        NOT NULL,             -- why it is cancelled
    version    bigint      NOT NULL CHECK (version >= 1),
    placed_at  timestamptz NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    CHECK ((status = 'CANCELLED') = (reason <> ''))
);

-- A user's orders, newest first.
CREATE INDEX orders_of_users ON orders (user_id, order_id DESC);

-- What was ordered, as it was then: our own copies, which change with nobody else's data.
CREATE TABLE order_items (
    order_id     uuid   NOT NULL REFERENCES orders,
    position     int    NOT NULL,
    product_id   uuid   NOT NULL,
    product_name text   NOT NULL,
    quantity     bigint NOT NULL CHECK (quantity >= 1),
    amount       bigint NOT NULL CHECK (amount >= 0),      -- of one piece
    PRIMARY KEY (order_id, position),
    UNIQUE (order_id, product_id)
);

-- See shared/db/idempotency_keys.py.
CREATE TABLE idempotency_keys (
    user_id       uuid        NOT NULL,
    method        text        NOT NULL,
    path          text        NOT NULL,
    key           text        NOT NULL,
    fingerprint   bytea       NOT NULL,          -- of what was asked
    claim         uuid        NOT NULL,          -- the attempt that has the key, or had it last
    claimed_until timestamptz NOT NULL,
    status        smallint,                      -- of the answer; NULL while there is none
    headers       jsonb,
    body          bytea,
    claimed_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, method, path, key)
);

CREATE INDEX idempotency_keys_by_age ON idempotency_keys (claimed_at);
