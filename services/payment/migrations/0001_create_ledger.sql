-- Money in double entry. What must never be otherwise is kept here, whatever is asked of the database: a movement
-- is two entries that add up to zero, what has been written stays, no wallet is below zero.

-- A user's money in one currency. What stands here follows from the wallet's entries, and moves with them only;
-- whoever decides by it locks the row.
CREATE TABLE wallets (
    user_id     uuid        NOT NULL,
    currency    char(3)     NOT NULL,              -- ISO 4217
    balance     bigint      NOT NULL DEFAULT 0 CHECK (balance BETWEEN 0 AND 9007199254740991),  -- minor units
    deposited   bigint      NOT NULL DEFAULT 0 CHECK (deposited <= 9007199254740991),  -- all that ever came in
    entry_count bigint      NOT NULL DEFAULT 0,
    opened_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (user_id, currency),
    CHECK (balance <= deposited)                   -- so a refund always fits
);

-- What has become of every identifier under which somebody charged or refunded. The row is made before anything
-- else is looked at, so that commands to one payment wait for each other; until the first has decided, it has no
-- status.
CREATE TABLE payments (
    payment_id uuid        PRIMARY KEY,            -- chosen by whoever charges
    status     text        CHECK (status IN ('CHARGED', 'DECLINED', 'REFUNDED', 'CANCELLED')),
    user_id    uuid,                               -- whose wallet; none when cancelled before it was made
    amount     bigint      CHECK (amount BETWEEN 1 AND 9007199254740991),
    currency   char(3),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK (num_nonnulls(user_id, amount, currency)
           = CASE WHEN status IN ('CHARGED', 'DECLINED', 'REFUNDED') THEN 3 ELSE 0 END)
);

-- Which account gives, and which one takes.
CREATE TABLE movement_kinds (
    kind  text PRIMARY KEY,
    giver text NOT NULL,
    taker text NOT NULL
);

INSERT INTO movement_kinds (kind, giver, taker)
VALUES ('deposit', 'outside', 'wallet'), ('charge', 'wallet', 'sales'), ('refund', 'sales', 'wallet');

CREATE TABLE movements (
    movement_id uuid        PRIMARY KEY,           -- version 7; of a deposit, the deposit's own
    kind        text        NOT NULL REFERENCES movement_kinds,
    payment_id  uuid        REFERENCES payments,   -- what is charged or refunded
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (payment_id, kind),                     -- a payment is charged once and refunded once
    CHECK ((kind = 'deposit') = (payment_id IS NULL))
);

-- What a movement takes from an account, or gives it.
CREATE TABLE entries (
    movement_id uuid    NOT NULL REFERENCES movements,
    account     text    NOT NULL CHECK (account IN ('outside', 'wallet', 'sales')),
    user_id     uuid,                              -- whose wallet
    currency    char(3) NOT NULL,
    amount      bigint  NOT NULL CHECK (amount <> 0 AND abs(amount) <= 9007199254740991),
    balance     bigint,                            -- of the wallet, after this entry
    number      bigint,                            -- of this entry among the wallet's, from 1
    PRIMARY KEY (movement_id, account),
    FOREIGN KEY (user_id, currency) REFERENCES wallets,
    CHECK (num_nonnulls(user_id, balance, number) = CASE account WHEN 'wallet' THEN 3 ELSE 0 END)
);

CREATE UNIQUE INDEX entries_of_wallets ON entries (user_id, currency, number) WHERE user_id IS NOT NULL;

-- What does not add up. All three are empty, always.

CREATE VIEW unbalanced_movements AS
SELECT movement_id
FROM movements JOIN movement_kinds USING (kind) LEFT JOIN entries USING (movement_id)
GROUP BY movement_id
HAVING count(amount) <> 2 OR sum(amount) <> 0 OR min(currency) <> max(currency)
    OR NOT bool_and(account = CASE WHEN amount < 0 THEN giver ELSE taker END);

CREATE VIEW wrong_wallets AS
SELECT user_id, currency
FROM wallets LEFT JOIN (
    SELECT user_id, currency, number, kind, amount, balance AS balance_after,
        sum(amount) OVER (PARTITION BY user_id, currency ORDER BY number) AS sum_so_far
    FROM entries JOIN movements USING (movement_id)
    WHERE user_id IS NOT NULL
) AS lines USING (user_id, currency)
GROUP BY user_id, currency
HAVING balance <> coalesce(sum(amount), 0)
    OR deposited <> coalesce(sum(amount) FILTER (WHERE kind = 'deposit'), 0)
    OR entry_count <> count(number) OR entry_count <> coalesce(max(number), 0)
    OR bool_or(balance_after <> sum_so_far);

CREATE VIEW wrong_payments AS
WITH due (payment_id, kind, user_id, currency, amount) AS (
    SELECT payment_id, 'charge', user_id, currency, -amount FROM payments WHERE status IN ('CHARGED', 'REFUNDED')
    UNION ALL
    SELECT payment_id, 'refund', user_id, currency, amount FROM payments WHERE status = 'REFUNDED'
), made AS (
    SELECT payment_id, kind, user_id, currency, amount
    FROM movements JOIN entries USING (movement_id)
    WHERE payment_id IS NOT NULL AND account = 'wallet'
)
SELECT payment_id FROM (TABLE due EXCEPT TABLE made) AS missing
UNION
SELECT payment_id FROM (TABLE made EXCEPT TABLE due) AS undue;

-- Looked at when the transaction commits: until then a movement may have one entry.
CREATE FUNCTION refuse_unbalanced_movement() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM unbalanced_movements WHERE movement_id = NEW.movement_id) THEN
        RAISE EXCEPTION 'movement % is not two entries that add up to zero', NEW.movement_id
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;

CREATE CONSTRAINT TRIGGER movements_are_balanced AFTER INSERT ON movements
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse_unbalanced_movement();
CREATE CONSTRAINT TRIGGER entries_are_balanced AFTER INSERT ON entries
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse_unbalanced_movement();

CREATE FUNCTION ledger_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the ledger is append-only' USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE TRIGGER movements_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON movements
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_append_only();
CREATE TRIGGER entries_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON entries
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_append_only();

-- An entry takes its wallet along, and keeps what that then holds.
CREATE FUNCTION move_wallet() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE wallets
    SET balance = wallets.balance + NEW.amount,
        deposited = deposited + CASE kind WHEN 'deposit' THEN NEW.amount ELSE 0 END,
        entry_count = entry_count + 1
    FROM movements
    WHERE movement_id = NEW.movement_id AND (wallets.user_id, wallets.currency) = (NEW.user_id, NEW.currency)
    RETURNING wallets.balance, entry_count INTO NEW.balance, NEW.number;
    RETURN NEW;
END
$$;

CREATE TRIGGER entries_move_wallets BEFORE INSERT ON entries
    FOR EACH ROW WHEN (NEW.account = 'wallet') EXECUTE FUNCTION move_wallet();

CREATE FUNCTION refuse_move_without_entry() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF pg_trigger_depth() = 1 THEN                 -- nothing but a statement of somebody's stands behind it
        RAISE EXCEPTION 'a wallet moves with its entries only' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER wallets_open_empty BEFORE INSERT ON wallets
    FOR EACH ROW WHEN ((NEW.balance, NEW.deposited, NEW.entry_count) <> (0, 0, 0))
    EXECUTE FUNCTION refuse_move_without_entry();
CREATE TRIGGER wallets_move_with_entries BEFORE UPDATE ON wallets
    FOR EACH ROW EXECUTE FUNCTION refuse_move_without_entry();

-- A payment is decided once; after that a charge may be refunded, and that is all.
CREATE FUNCTION refuse_to_decide_again() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'payment % has been decided', OLD.payment_id USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE TRIGGER payments_stay_decided BEFORE UPDATE ON payments
    FOR EACH ROW WHEN (
        OLD.status IS NOT NULL
        AND (OLD.status <> 'CHARGED' OR NEW.status IS DISTINCT FROM 'REFUNDED'
             OR (NEW.payment_id, NEW.user_id, NEW.amount, NEW.currency)
                IS DISTINCT FROM (OLD.payment_id, OLD.user_id, OLD.amount, OLD.currency)))
    EXECUTE FUNCTION refuse_to_decide_again();
CREATE TRIGGER payments_stay BEFORE DELETE ON payments
    FOR EACH ROW EXECUTE FUNCTION refuse_to_decide_again();
