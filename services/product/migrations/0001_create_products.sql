CREATE TABLE products (
    product_id  uuid        PRIMARY KEY,          -- version 7: sorts by the time of creation
    name        text        NOT NULL CHECK (char_length(name) BETWEEN 1 AND 200),
    description text        NOT NULL,
    amount      bigint      NOT NULL CHECK (amount >= 0),   -- minor units
    currency    char(3)     NOT NULL,                       -- ISO 4217
    version     integer     NOT NULL CHECK (version >= 1),
    archived    boolean     NOT NULL,
    search_text text        NOT NULL,             -- name and description without distinctions of case
    created_at  timestamptz NOT NULL DEFAULT now(),
    changed_at  timestamptz NOT NULL DEFAULT now()
);

-- Listing: newest first, archived ones left out.
CREATE INDEX products_on_offer ON products (product_id) WHERE NOT archived;

-- Searching for any part of a text, in any script, with what every PostgreSQL has: the text as the set of its
-- pairs of neighbouring characters ('milk' → {mi,il,lk}) under an inverted index. A key shorter than a pair
-- has none, and is looked for row by row.
CREATE FUNCTION character_pairs(text) RETURNS text[]
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (
    SELECT coalesce(array_agg(DISTINCT pair), '{}')
    FROM (
        SELECT character || lead(character) OVER (ORDER BY position) AS pair
        FROM unnest(string_to_array($1, NULL)) WITH ORDINALITY AS characters (character, position)
    ) AS pairs
    WHERE pair IS NOT NULL
);

CREATE INDEX products_search ON products USING gin (character_pairs(search_text)) WHERE NOT archived;
