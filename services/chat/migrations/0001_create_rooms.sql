CREATE TABLE rooms (
    room_id    uuid        PRIMARY KEY,           -- version 7: sorts by the time of creation
    name       text        NOT NULL CHECK (char_length(name) BETWEEN 1 AND 100),
    private    boolean     NOT NULL,
    owner_id   uuid        NOT NULL,
    last_seq   bigint      NOT NULL DEFAULT 0 CHECK (last_seq >= 0),   -- the newest message's number
    removals   bigint      NOT NULL DEFAULT 0,    -- how many members it has lost; each time all must look again
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE members (
    room_id  uuid        NOT NULL REFERENCES rooms,
    user_id  uuid        NOT NULL,
    added_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (room_id, user_id)
);

-- The owner is a member, always. Room and owner are written by one statement, at whose end both keys are checked.
ALTER TABLE rooms ADD CONSTRAINT rooms_owner_is_member FOREIGN KEY (room_id, owner_id) REFERENCES members;

-- Listing, newest first: the public rooms, and those of a member.
CREATE INDEX rooms_public ON rooms (room_id) WHERE NOT private;
CREATE INDEX members_rooms ON members (user_id, room_id);
