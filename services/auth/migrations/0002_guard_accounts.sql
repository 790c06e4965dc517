-- Passwords: what a login has verified must still be true when its session is made. A re-hash keeps the version.
ALTER TABLE users ADD COLUMN password_version integer NOT NULL DEFAULT 1;

-- A user's live sessions are listed newest first, and locked in order.
DROP INDEX sessions_live;
CREATE INDEX sessions_live ON sessions (user_id, session_id) WHERE ended_at IS NULL;

-- Attempts to guess, by what was guessed at and from where.
CREATE TABLE guesses (
    kind             text        NOT NULL CHECK (kind IN ('account', 'address', 'user')),
    subject          bytea       NOT NULL,           -- SHA-256: what strangers typed is nobody's business
    failures         bigint      NOT NULL,           -- counted before the check, taken back when it succeeds
    refused          bigint      NOT NULL DEFAULT 0, -- those among them that were never checked: they set no lock
    locks            integer     NOT NULL DEFAULT 0, -- how often it was locked: each lock doubles the next one
    locked_until     timestamptz,
    first_attempt_at timestamptz NOT NULL,
    last_attempt_at  timestamptz NOT NULL,
    last_outcome     text        NOT NULL CHECK (last_outcome IN ('admitted', 'locked', 'refused')),
    PRIMARY KEY (kind, subject)
);

-- The networks from which an account has logged in: attempts from there count apart from those of strangers.
CREATE TABLE known_networks (
    user_id      uuid        NOT NULL REFERENCES users,
    network      text        NOT NULL,             -- an IPv4 address, or an IPv6 network of 64 bits
    last_used_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, network)
);

-- Second factor (RFC 6238). It counts from its confirmation on.
CREATE TABLE totp (
    user_id       uuid        PRIMARY KEY REFERENCES users,
    sealed_secret bytea       NOT NULL,            -- encrypted with AUTH_KEY_ENCRYPTION_KEY
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    confirmed_at  timestamptz,
    last_step     bigint      NOT NULL DEFAULT 0   -- of the last code accepted: none is accepted twice
);

CREATE TABLE recovery_codes (
    user_id uuid        NOT NULL REFERENCES totp ON DELETE CASCADE,
    digest  bytea       NOT NULL,                  -- SHA-256 of a code of 80 random bits
    used_at timestamptz,
    PRIMARY KEY (user_id, digest)
);

-- Resource servers that may introspect and revoke tokens (RFC 7662, RFC 7009).
CREATE TABLE clients (
    client_id     text        PRIMARY KEY,
    name          text        NOT NULL,
    secret_digest bytea       NOT NULL,            -- SHA-256 of 256 random bits
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    removed_at    timestamptz
);

-- What has happened, for whoever must find out later. Rows are added in the transaction of what they tell.
CREATE TABLE audit (
    audit_id   bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    event      text        NOT NULL,
    actor      text        NOT NULL CHECK (actor IN ('client', 'operator', 'server')),
    user_id    uuid,                               -- whom it concerns
    session_id uuid,
    address    text        NOT NULL DEFAULT '',    -- of the client
    request_id text        NOT NULL DEFAULT '',
    details    jsonb       NOT NULL DEFAULT '{}'
);

CREATE INDEX audit_user ON audit (user_id, audit_id);

CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit table is append-only' USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();
