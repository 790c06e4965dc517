-- What clients send with a deposit, so that asking again deposits once (shared/db/idempotency_keys.py).
CREATE TABLE idempotency_keys (
    user_id       uuid        NOT NULL,
    method        text        NOT NULL,
    path          text        NOT NULL,
    key           text        NOT NULL,
    fingerprint   bytea       NOT NULL,               -- of what was asked
    claim         uuid        NOT NULL,               -- the attempt that has the key, or had it last
    claimed_until timestamptz NOT NULL,
    status        smallint,                           -- of the answer; NULL while there is none
    headers       jsonb,
    body          bytea,
    claimed_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, method, path, key)
);

CREATE INDEX idempotency_keys_by_age ON idempotency_keys (claimed_at);
