-- Our copies of the catalogue, kept up to date by its events; ./scripts/events rebuild order mends them.
CREATE TABLE articles (
    product_id uuid        PRIMARY KEY,
    name       text        NOT NULL,
    amount     bigint      NOT NULL CHECK (amount >= 0),   -- in minor units
    currency   char(3)     NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),   -- ISO 4217
    archived   boolean     NOT NULL,
    version    bigint      NOT NULL CHECK (version >= 1),  -- the catalogue's: an older one never replaces a newer
    changed_at timestamptz NOT NULL DEFAULT now()
);
