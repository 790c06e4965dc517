-- What was said. The row of the room is locked from the moment a message gets its number until it is committed,
-- so numbers have no gaps and are committed in their order.
CREATE TABLE messages (
    room_id      uuid        NOT NULL REFERENCES rooms,
    seq          bigint      NOT NULL CHECK (seq >= 1),
    user_id      uuid        NOT NULL,
    key          text        COLLATE "C" NOT NULL CHECK (char_length(key) BETWEEN 1 AND 100),
    display_name text        NOT NULL,            -- what the author was then called
    text         text        NOT NULL,
    at           timestamptz NOT NULL,
    deleted_by   uuid,                            -- NULL unless it has been
    deleted_at   timestamptz,
    PRIMARY KEY (room_id, seq),
    CONSTRAINT messages_keys UNIQUE (room_id, user_id, key),
    CHECK (CASE WHEN deleted_by IS NULL THEN char_length(text) BETWEEN 1 AND 4000 ELSE text = '' END),
    CHECK ((deleted_by IS NULL) = (deleted_at IS NULL))
);
