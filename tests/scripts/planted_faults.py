"""What can be wrong with a shop's databases, and how that is told."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """What `statement` makes wrong in a database, with an order that has ended as `kind`; how it is told.

    The kind "talk" is a room in which something has been said.
    """

    what: str
    kind: str
    database: str
    statement: str
    told: str


FAULTS = [
    Fault(
        "an order is final",
        "pending",
        "order",
        "UPDATE orders SET placed_at = now() - '61 s'::interval WHERE order_id = %(order)s",
        "{order} is still pending",
    ),
    Fault(
        "a saga has ended",
        "confirmed",
        "order",
        "UPDATE sagas SET due_at = now() WHERE order_id = %(order)s",
        "{order} is CONFIRMED, its saga has not",
    ),
    Fault(
        "a saga has ended",
        "pending",
        "order",
        "UPDATE sagas SET due_at = NULL WHERE order_id = %(order)s",
        "{order} is PENDING, its saga has ended",
    ),
    Fault(
        "a saga has ended",
        "confirmed",
        "order",
        "DELETE FROM sagas WHERE order_id = %(order)s",
        "{order} is CONFIRMED without a saga",
    ),
    Fault(
        "a saga has ended",
        "old",
        "order",
        "UPDATE orders SET reason = 'failed' WHERE order_id = %(order)s",
        "{order} is CANCELLED without a saga",
    ),
    Fault(
        "a saga's log",
        "confirmed",
        "order",
        "DELETE FROM saga_log WHERE order_id = %(order)s AND position = 2",
        "{order} has 4 entries of 5 in its log, or not from 1 on",
    ),
    Fault(
        "a saga's log",
        "confirmed",
        "order",
        "UPDATE saga_log SET action = 'commit_stock' WHERE order_id = %(order)s AND position = 3",
        "{order} has a log that cannot be: commit_stock is not what comes next",
    ),
    Fault(
        "a saga's log",
        "declined",
        "order",
        "UPDATE orders SET reason = 'requested' WHERE order_id = %(order)s",
        "{order} is CANCELLED requested, its log says CANCELLED payment_declined",
    ),
    Fault(
        "a saga's log",
        "pending",
        "order",
        "UPDATE orders SET status = 'CONFIRMED' WHERE order_id = %(order)s",
        "{order} is CONFIRMED before reserve_stock",
    ),
    Fault(
        "a confirmed order has been paid",
        "confirmed",
        "payment",
        "DELETE FROM payments WHERE payment_id = %(payment)s",
        "{order} no payment, not CHARGED 1800 KRW of user {user}",
    ),
    Fault(
        "a confirmed order has been paid",
        "confirmed",
        "payment",
        "UPDATE payments SET (amount, currency) = (amount + 1, 'USD') WHERE payment_id = %(payment)s",
        "{order} CHARGED 1801 USD of user {user}, not CHARGED 1800 KRW of user {user}",
    ),
    Fault(
        "a confirmed order has been paid",
        "confirmed",
        "payment",
        "UPDATE payments SET status = 'REFUNDED' WHERE payment_id = %(payment)s",
        "{order} REFUNDED 1800 KRW of user {user}, not CHARGED 1800 KRW of user {user}",
    ),
    Fault(
        "a confirmed order has been paid",
        "free",
        "payment",
        "INSERT INTO payments VALUES (%(payment)s, 'CHARGED', %(user)s, 1, 'KRW')",
        "{order} is free, and CHARGED 1 KRW of user {user}",
    ),
    Fault(
        "a confirmed order's goods",
        "confirmed",
        "inventory",
        "DELETE FROM reservations WHERE reservation_id = %(reservation)s",
        "{order} no reservation",
    ),
    Fault(
        "a confirmed order's goods",
        "confirmed",
        "inventory",
        "UPDATE reservations SET status = 'RELEASED' WHERE reservation_id = %(reservation)s",
        "{order} reservation RELEASED",
    ),
    Fault(
        "a confirmed order's goods",
        "confirmed",
        "inventory",
        "UPDATE reservation_items SET quantity = quantity + 1 WHERE reservation_id = %(reservation)s",
        "{order} other goods than were ordered",
    ),
    Fault(
        "a cancelled order has cost",
        "refunded",
        "payment",
        "UPDATE payments SET status = 'CHARGED' WHERE payment_id = %(payment)s",
        "{order} CHARGED 1800 KRW of user {user}",
    ),
    Fault(
        "a cancelled order holds",
        "requested",
        "inventory",
        """
        UPDATE reservations SET (status, expires_at) = ('RESERVED', now())
        WHERE reservation_id = %(reservation)s""",
        "{order} reservation RESERVED",
    ),
    Fault(
        "a cancelled order holds",
        "declined",
        "inventory",
        "UPDATE reservations SET status = 'COMMITTED' WHERE reservation_id = %(reservation)s",
        "{order} reservation COMMITTED",
    ),
    Fault(
        "a charge belongs",
        "confirmed",
        "payment",
        "INSERT INTO payments VALUES (%(user)s, 'CHARGED', %(user)s, 1, 'KRW')",
        "{user}",
    ),
    Fault(
        "goods that are set aside",
        "confirmed",
        "inventory",
        "INSERT INTO reservations VALUES (%(user)s, 'RESERVED', now())",
        "{user}",
    ),
    Fault(
        "a movement of money",
        "confirmed",
        "payment",
        "UPDATE movements SET movement_id = %(user)s WHERE payment_id = %(payment)s",
        "{user}",
    ),
    Fault(
        "all money together",
        "confirmed",
        "payment",
        "INSERT INTO entries VALUES (%(user)s, 'sales', NULL, 'EUR', 7)",
        "7 EUR",
    ),
    Fault(
        "a wallet holds",
        "confirmed",
        "payment",
        "UPDATE wallets SET balance = balance - 1 WHERE user_id = %(user)s",
        "{user} KRW",
    ),
    Fault(
        "what a payment has moved",
        "declined",
        "payment",
        "UPDATE payments SET status = 'REFUNDED' WHERE payment_id = %(payment)s",
        "{payment}",
    ),
    Fault(
        "of a product is set aside",
        "confirmed",
        "inventory",
        "UPDATE stock SET reserved = 1 WHERE product_id = %(product)s",
        "{product}: 1, they hold 0",
    ),
    Fault(
        "of a product is on hand",
        "confirmed",
        "inventory",
        "UPDATE stock SET on_hand = on_hand + 1 WHERE product_id = %(product)s",
        "{product}: 9, they add up to 8",
    ),
    Fault(
        "of a product what was put in",
        "confirmed",
        "inventory",
        "UPDATE movements SET difference = 11 WHERE product_id = %(product)s AND reason = 'set'",
        "{product}: 11 put in, 8 on hand, 2 sold",
    ),
    Fault(
        "goods have left once",
        "confirmed",
        "inventory",
        """
        INSERT INTO movements (product_id, difference, on_hand, reason, reservation_id)
        VALUES (%(product)s, -2, 6, 'committed', %(reservation)s)""",
        "reservation {reservation}: 2 of {product}",
    ),
    Fault(
        "goods have left once",
        "confirmed",
        "inventory",
        "DELETE FROM movements WHERE reservation_id = %(reservation)s",
        "reservation {reservation}: 2 of {product}",
    ),
    Fault(
        "a room's messages",
        "talk",
        "chat",
        "DELETE FROM messages WHERE room_id = %(room)s AND seq = 2",
        "{room}: 2 messages, from 1 to 3, its last number is 3",
    ),
    Fault(
        "a room's messages",
        "talk",
        "chat",
        "UPDATE messages SET seq = 4 WHERE room_id = %(room)s AND seq = 1",
        "{room}: 3 messages, from 2 to 4, its last number is 3",
    ),
    Fault(
        "a room's messages",
        "talk",
        "chat",
        "UPDATE rooms SET last_seq = 4 WHERE room_id = %(room)s",
        "{room}: 3 messages, from 1 to 3, its last number is 4",
    ),
    Fault(
        "a room's messages",
        "talk",
        "chat",
        "DELETE FROM rooms WHERE room_id = %(room)s",
        "{room}: 3 messages, from 1 to 3, its last number is ",
    ),
    Fault(
        "an event that has come",
        "confirmed",
        "inventory",
        "INSERT INTO dead_letters VALUES ('inventory', %(order)s, 'product', '', '', '', 'unreadable', 5)",
        "inventory has parked {order}: unreadable",
    ),
]
