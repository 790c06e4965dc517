"""What must add up within one database. Each line: what, how many there are to look at, and which are wrong.

A query for what is wrong finds, in its one column, what to tell of each.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from scripts.support.invariants.findings import Finding, Tally
from scripts.support.invariants.snapshots import Snapshot


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that must hold in a database."""

    what: str
    looked_at: str
    wrong: str


# The views are made by services/payment/migrations/0001_create_ledger.sql, which tells what each must be.
LEDGER = (
    Line(
        "a movement of money takes from one account what it gives to another",
        "SELECT count(*) FROM movements",
        "SELECT movement_id FROM unbalanced_movements",
    ),
    Line(
        "all money together is zero",
        "SELECT count(DISTINCT currency) FROM entries",
        "SELECT concat_ws(' ', sum(amount), currency) FROM entries GROUP BY currency HAVING sum(amount) <> 0",
    ),
    Line(
        "a wallet holds what its entries add up to",
        "SELECT count(*) FROM wallets",
        "SELECT concat_ws(' ', user_id, currency) FROM wrong_wallets",
    ),
    Line(
        "what a payment has moved is what has become of it",
        "SELECT count(*) FROM payments",
        "SELECT payment_id FROM wrong_payments",
    ),
)

STOCK = (
    Line(
        "of a product is set aside what its reservations hold",
        "SELECT count(*) FROM stock",
        """
        WITH held AS (
            SELECT product_id, sum(quantity) AS pieces
            FROM reservations JOIN reservation_items USING (reservation_id)
            WHERE status = 'RESERVED' GROUP BY product_id
        )
        SELECT format('%s: %s, they hold %s', product_id, coalesce(reserved, 0), coalesce(pieces, 0))
        FROM stock FULL JOIN held USING (product_id)
        WHERE coalesce(reserved, 0) <> coalesce(pieces, 0)""",
    ),
    Line(
        "of a product is on hand what its movements add up to",
        "SELECT count(*) FROM stock",
        """
        WITH moved AS (SELECT product_id, sum(difference) AS pieces FROM movements GROUP BY product_id)
        SELECT format('%s: %s, they add up to %s', product_id, on_hand, coalesce(pieces, 0))
        FROM stock LEFT JOIN moved USING (product_id)
        WHERE on_hand <> coalesce(pieces, 0)""",
    ),
    Line(
        "of a product what was put in is on hand, or sold",
        "SELECT count(*) FROM stock",
        """
        WITH put AS (
            SELECT product_id, sum(difference) AS pieces
            FROM movements WHERE reason = 'set' GROUP BY product_id
        ), sold AS (
            SELECT product_id, sum(quantity) AS pieces
            FROM reservations JOIN reservation_items USING (reservation_id)
            WHERE status = 'COMMITTED' GROUP BY product_id
        )
        SELECT format('%s: %s put in, %s on hand, %s sold',
            product_id, coalesce(put.pieces, 0), coalesce(on_hand, 0), coalesce(sold.pieces, 0))
        FROM stock FULL JOIN put USING (product_id) FULL JOIN sold USING (product_id)
        WHERE coalesce(put.pieces, 0) <> coalesce(on_hand, 0) + coalesce(sold.pieces, 0)""",
    ),
    Line(
        "goods have left once for each committed reservation, and for nothing else",
        "SELECT count(*) FROM movements WHERE reason = 'committed'",
        """
        WITH gone AS (
            SELECT reservation_id, product_id, -difference FROM movements WHERE reason = 'committed'
        ), sold AS (
            SELECT reservation_id, product_id, quantity
            FROM reservations JOIN reservation_items USING (reservation_id) WHERE status = 'COMMITTED'
        )
        SELECT format('reservation %s: %s of %s', reservation_id, pieces, product_id) FROM (
            (TABLE gone EXCEPT ALL TABLE sold) UNION ALL (TABLE sold EXCEPT ALL TABLE gone)
        ) AS different (reservation_id, product_id, pieces)""",
    ),
)

CHAT = (
    Line(
        "a room's messages are numbered from 1 to its last number, without gaps",
        "SELECT count(*) FROM rooms",
        """
        SELECT format('%s: %s messages, from %s to %s, its last number is %s',
            room_id, count(seq), min(seq), max(seq), last_seq)
        FROM rooms FULL JOIN messages USING (room_id)
        GROUP BY room_id, last_seq
        HAVING count(seq) IS DISTINCT FROM last_seq OR min(seq) <> 1 OR max(seq) <> last_seq""",
    ),
)

TAKEN_IN = Line(
    "an event that has come is taken in, and not a dead letter",
    "SELECT (SELECT count(*) FROM inbox) + (SELECT count(*) FROM dead_letters)",
    "SELECT format('%s has parked %s: %s', consumer, letter_id, left(error, 60)) FROM dead_letters",
)
PUBLISHED = Line(
    "an event that has happened is published",
    "SELECT count(*) FROM outbox",
    "SELECT format('%s of %s', type, key) FROM outbox WHERE published_at IS NULL ORDER BY position",
)


def audited(books: Iterable[Line], *kept: Snapshot) -> Iterator[Finding]:
    """What is found of each line, in all databases that it is `kept` in."""
    for line in books:
        tally = Tally(line.what)
        for each in kept:
            [[count]] = each.every(line.looked_at)
            tally.look_at(count)
            for batch in each.batches(line.wrong):
                for [fault] in batch:
                    tally.blame(str(fault))
        yield tally.finding()
