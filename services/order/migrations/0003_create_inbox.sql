-- See shared/events/inbox.py.
CREATE TABLE inbox (
    consumer    text        NOT NULL,
    event_id    uuid        NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer, event_id)
);

CREATE INDEX inbox_by_age ON inbox (received_at);

-- See shared/events/dead_letters.py.
CREATE TABLE dead_letters (
    consumer  text        NOT NULL,
    letter_id uuid        NOT NULL,              -- the event's, or made from what is no event
    topic     text        NOT NULL,
    key       text        NOT NULL,
    place     text        NOT NULL,              -- where it stood on the bus
    value     bytea       NOT NULL,              -- as it came
    error     text        NOT NULL,
    attempts  int         NOT NULL,
    parked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (consumer, letter_id)
);
