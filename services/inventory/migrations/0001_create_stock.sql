-- Whoever locks both, locks the reservation first, and then all of its stock in the order of the products.

CREATE TABLE stock (
    product_id uuid        PRIMARY KEY,
    on_hand    bigint      NOT NULL DEFAULT 0 CHECK (on_hand BETWEEN 0 AND 9007199254740991),
    reserved   bigint      NOT NULL DEFAULT 0 CHECK (reserved BETWEEN 0 AND on_hand),
    version    bigint      NOT NULL DEFAULT 0,    -- from 1; 0 only inside the transaction that makes the row
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Every final outcome is kept for good, so that a command that comes again is answered as before.
CREATE TABLE reservations (
    reservation_id    uuid        PRIMARY KEY,    -- chosen by whoever reserves
    status            text        CHECK (status IN ('RESERVED', 'REFUSED', 'COMMITTED', 'RELEASED', 'EXPIRED')),
                                                  -- NULL only inside the transaction that makes the row
    expires_at        timestamptz,                -- NULL where nothing was ever set aside
    short_product_ids uuid[]      NOT NULL DEFAULT '{}',   -- of which there was not enough
    created_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    changed_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK (status NOT IN ('RESERVED', 'COMMITTED', 'EXPIRED') OR expires_at IS NOT NULL),
    CHECK ((status = 'REFUSED') = (short_product_ids <> '{}'))
);

CREATE INDEX reservations_due ON reservations (expires_at) WHERE status = 'RESERVED';

-- None where a reservation was cancelled before it was made. Products that never had any stock may be refused.
CREATE TABLE reservation_items (
    reservation_id uuid   NOT NULL REFERENCES reservations,
    product_id     uuid   NOT NULL,
    quantity       bigint NOT NULL CHECK (quantity BETWEEN 1 AND 1000000),
    PRIMARY KEY (reservation_id, product_id)
);

-- The books: a product's differences add up to what is on hand.
CREATE TABLE movements (
    movement_id    bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    product_id     uuid        NOT NULL REFERENCES stock,
    difference     bigint      NOT NULL CHECK (difference <> 0),
    on_hand        bigint      NOT NULL CHECK (on_hand >= 0),   -- after it
    reason         text        NOT NULL CHECK (reason IN ('set', 'committed')),
    set_by         uuid,                          -- the admin
    reservation_id uuid        REFERENCES reservations,
    at             timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK ((reason = 'set') = (set_by IS NOT NULL)),
    CHECK ((reason = 'committed') = (reservation_id IS NOT NULL))
);

CREATE INDEX movements_product ON movements (product_id, movement_id);

CREATE FUNCTION movements_are_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the movements are append-only' USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE TRIGGER movements_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON movements
    FOR EACH STATEMENT EXECUTE FUNCTION movements_are_append_only();
