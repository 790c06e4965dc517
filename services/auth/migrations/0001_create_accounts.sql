CREATE TABLE users (
    user_id       uuid        PRIMARY KEY,          -- version 7: sorts by the time of creation
    email         text        NOT NULL CHECK (char_length(email) <= 254),
    email_key     text        NOT NULL UNIQUE,      -- in lower case: one account per address
    display_name  text        NOT NULL CHECK (char_length(display_name) BETWEEN 1 AND 100),
    password_hash text        NOT NULL,             -- bcrypt of base64(SHA-256(NFKC password))
    roles         text[]      NOT NULL,
    locked_at     timestamptz,                      -- since then: no login, no refresh
    created_at    timestamptz NOT NULL DEFAULT now()
);

-- One login on one device. A session is also the family of its refresh tokens. Times are those at which the
-- row's locks had been granted, not those at which its transaction began.
CREATE TABLE sessions (
    session_id   uuid        PRIMARY KEY,
    user_id      uuid        NOT NULL REFERENCES users,
    device       text        NOT NULL,              -- User-Agent at login
    address      text        NOT NULL,              -- client address at login
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_used_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at   timestamptz NOT NULL,              -- idle end; moves with every refresh
    ends_by      timestamptz NOT NULL,              -- final end; never moves
    ended_at     timestamptz,                       -- logged out, or ended by us
    end_reason   text,
    CHECK (expires_at <= ends_by),
    CHECK ((ended_at IS NULL) = (end_reason IS NULL))
);

CREATE INDEX sessions_live ON sessions (user_id) WHERE ended_at IS NULL;
CREATE INDEX sessions_expiry ON sessions (expires_at);

-- Every refresh token of a session, so that the second use of one is noticed. No token stands here in the clear.
CREATE TABLE refresh_tokens (
    digest           bytea       PRIMARY KEY,       -- SHA-256 of the token
    session_id       uuid        NOT NULL REFERENCES sessions ON DELETE CASCADE,
    issued_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    used_at          timestamptz,
    successor        bytea,                         -- the digest of the token that replaced it
    sealed_successor bytea,                         -- that token, encrypted under a key made from this one;
    CHECK ((used_at IS NULL) = (successor IS NULL)) -- erased when the grace for lost answers is over
);

CREATE INDEX refresh_tokens_session ON refresh_tokens (session_id);
CREATE INDEX refresh_tokens_sealed ON refresh_tokens (used_at) WHERE sealed_successor IS NOT NULL;

CREATE TABLE signing_keys (
    key_id          text        PRIMARY KEY,        -- RFC 7638 thumbprint; the tokens' kid
    algorithm       text        NOT NULL,
    public_jwk      jsonb       NOT NULL,
    sealed_private  bytea       NOT NULL,           -- PKCS #8, encrypted with AUTH_KEY_ENCRYPTION_KEY
    created_at      timestamptz NOT NULL DEFAULT now(),
    signs_from      timestamptz NOT NULL,           -- published before that, so that every verifier knows it
    signs_until     timestamptz,
    published_until timestamptz,                    -- when its last token has expired
    revoked_at      timestamptz
);

-- What the gateways must refuse. Rows stay until the last token concerned has expired.
CREATE TABLE revocations (
    kind       text        NOT NULL CHECK (kind IN ('sid', 'jti', 'user', 'kid')),
    name       text        NOT NULL,
    revoked_at timestamptz NOT NULL,                -- for a user: tokens issued up to then are refused
    expires_at timestamptz NOT NULL,
    stored_at  timestamptz,                         -- when the store acknowledged it
    PRIMARY KEY (kind, name)
);

CREATE INDEX revocations_unsent ON revocations (revoked_at) WHERE stored_at IS NULL;
CREATE INDEX revocations_expiry ON revocations (expires_at);
