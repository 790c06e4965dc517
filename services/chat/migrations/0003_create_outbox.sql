-- See shared/events/outbox.py.
CREATE TABLE outbox (
    position     bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id     uuid        NOT NULL,
    key          text        NOT NULL,           -- events with the same one stay in order
    type         text        NOT NULL,
    value        bytea       NOT NULL,           -- the event as it travels
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    published_at timestamptz                     -- when the bus had confirmed it
);

CREATE INDEX outbox_unpublished ON outbox (position) WHERE published_at IS NULL;
CREATE INDEX outbox_published ON outbox (published_at) WHERE published_at IS NOT NULL;
