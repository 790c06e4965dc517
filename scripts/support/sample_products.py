"""A sample catalogue of 200 products, the same at every call: ten shelves of five articles in four variants.

Prices are written in won; another currency gets about the same value in its own minor unit.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import iso4217

from services.product.domain import ProductDetails
from shared.money import Money

WON_PER_UNIT = 1_000  # of a currency that is divided in hundredths: near enough for a sample
FIRST_CREATED = datetime(2024, 1, 1, tzinfo=UTC)
MILLISECONDS_APART = 3_600_000


@dataclass(frozen=True, slots=True)
class Shelf:
    """Articles (name, description, price in won) that come in the same variants (label, price in percent)."""

    variants: tuple[tuple[str, int], ...]
    articles: tuple[tuple[str, str, int], ...]


SHELVES = (
    Shelf(
        (("50 g", 100), ("100 g", 180), ("250 g", 400), ("500 g", 720)),
        (
            ("Jeju green tea", "First flush from the island's south. Steep at 75 °C for two minutes.", 9_800),
            ("Boseong sejak", "Hand-picked young leaves, lightly roasted, with a scent of chestnut.", 14_500),
            ("Earl Grey", "Black tea with oil of bergamot from Calabria.", 7_200),
            ("Alishan oolong", "High mountain oolong: buttery, floral, good for six infusions.", 18_900),
            ("Roasted barley tea", "Boricha without caffeine, for the fridge or the kettle.", 3_900),
        ),
    ),
    Shelf(
        (("200 g, whole beans", 100), ("200 g, ground", 104), ("500 g, whole beans", 230), ("1 kg", 430)),
        (
            ("Ethiopia Yirgacheffe coffee", "Washed, light roast: jasmine, lemon, black tea.", 15_000),
            ("Colombia Huila coffee", "Medium roast with caramel and red apple.", 13_500),
            ("Guatemala Antigua coffee", "Medium roast: cocoa, orange, a long finish.", 14_200),
            ("House espresso", "A dark blend of Brazil and Sumatra that stands up to milk.", 11_900),
            ("Decaf Peru coffee", "Decaffeinated with water; hazelnut and brown sugar.", 14_900),
        ),
    ),
    Shelf(
        (("white", 100), ("celadon", 115), ("charcoal", 105), ("set of two", 185)),
        (
            ("Stoneware mug", "Holds 350 ml. Safe in dishwasher and microwave oven.", 16_000),
            ("Teapot with strainer", "0.8 l, a lid that stays on and a spout that does not drip.", 42_000),
            ("Rice bowl", "Wheel-thrown in Icheon; every piece is a little different.", 18_000),
            ("Soup bowl", "Deep and wide, keeps noodles hot.", 21_000),
            ("Serving plate", "28 cm, glazed on both sides.", 33_000),
        ),
    ),
    Shelf(
        (("small", 100), ("medium", 135), ("large", 170), ("set of three", 360)),
        (
            ("Cast iron pan", "Seasoned with linseed oil, for every kind of stove.", 39_000),
            ("Stainless saucepan", "Three-ply base, scale inside, handle that stays cool.", 45_000),
            ("Bamboo steamer", "Two tiers and a lid; fits on a pot of the same size.", 19_000),
            ("Cutting board", "End grain maple with feet that do not slip.", 36_000),
            ("Mixing bowl", "Brushed steel with a flat bottom and a pouring lip.", 17_500),
        ),
    ),
    Shelf(
        (("plain", 100), ("ruled", 100), ("dotted", 105), ("squared", 100)),
        (
            ("Notebook A5", "160 pages of 90 g paper, sewn, lies flat.", 12_000),
            ("Notebook A6", "For the pocket, with a rounded corner and a ribbon.", 8_500),
            ("Desk pad A3", "50 sheets to tear off.", 15_000),
            ("Index cards", "Box of 200, 7.5 by 12.5 cm.", 6_500),
            ("Spiral notebook B5", "Micro-perforated, with a cover of recycled board.", 7_800),
        ),
    ),
    Shelf(
        (("black", 100), ("blue", 100), ("red", 100), ("box of ten", 880)),
        (
            ("Gel pen 0.5 mm", "Dries in a second; refillable.", 2_200),
            ("Fineliner 0.3 mm", "Pigment ink, waterproof, fast to light.", 3_100),
            ("Fountain pen", "Steel nib, takes cartridges and a converter.", 28_000),
            ("Brush pen", "Soft tip for calligraphy and sketches.", 4_800),
            ("Highlighter", "Pastel, does not bleed through.", 1_900),
        ),
    ),
    Shelf(
        (("grey", 100), ("navy", 100), ("olive", 100), ("cream", 103)),
        (
            ("Linen apron", "With a pocket and a strap that crosses at the back.", 38_000),
            ("Wool blanket", "Merino, 130 by 180 cm, woven in one piece.", 129_000),
            ("Cotton towel", "Waffle weave, 70 by 140 cm, dries quickly.", 24_000),
            ("Canvas tote", "Holds 15 kg; with an inner pocket.", 19_500),
            ("Cushion cover", "45 by 45 cm, stonewashed linen, hidden zip.", 22_000),
        ),
    ),
    Shelf(
        (("0.5 m", 100), ("1 m", 120), ("2 m", 150), ("3 m", 180)),
        (
            ("USB-C cable", "60 W, braided, bends ten thousand times.", 9_900),
            ("HDMI 2.1 cable", "8K at 60 Hz, with gilded plugs.", 14_900),
            ("Ethernet cable Cat 6A", "Shielded, 10 Gbit/s, with a latch that survives.", 7_500),
            ("Audio cable 3.5 mm", "Slim plugs that fit every case.", 8_200),
            ("Extension lead", "Four sockets, one switch, surge protection.", 17_900),
        ),
    ),
    Shelf(
        (("9 cm pot", 100), ("12 cm pot", 160), ("17 cm pot", 290), ("with ceramic planter", 380)),
        (
            ("Monstera deliciosa", "Likes bright shade; water when the soil is dry.", 12_000),
            ("Snake plant", "Forgives everything but too much water.", 10_500),
            ("Rosemary", "For the kitchen window, full sun.", 5_500),
            ("Boston fern", "Loves a bathroom with daylight.", 8_900),
            ("Olive tree", "Slow, silver, fond of the balcony.", 19_000),
        ),
    ),
    Shelf(
        (("2 players", 100), ("family edition", 130), ("travel edition", 80), ("with expansion", 190)),
        (
            ("Baduk set", "Board of beech and 361 stones of glass.", 49_000),
            ("Card game Tidepool", "Collect sets before the tide comes in. 20 minutes.", 18_000),
            ("Yutnori", "Four sticks, eight tokens, a cloth board, and all of New Year.", 15_000),
            ("Tile game Rooftops", "Lay roofs, keep cats dry. From 8 years.", 34_000),
            ("Puzzle Night Market", "1,000 pieces, a picture that glows in the dark.", 23_000),
        ),
    ),
)


def sample_products(currency: str) -> Iterator[tuple[UUID, ProductDetails]]:
    """Identifier and details of each product, in the order of their making; prices in `currency`."""
    number = 0
    for shelf in SHELVES:
        for name, description, won in shelf.articles:
            for label, percent in shelf.variants:
                price = Money(_minor_units(won * percent // 100, currency), currency)
                yield _identifier(number), ProductDetails(f"{name}, {label}", description, price)
                number += 1


def _minor_units(won: int, currency: str) -> int:
    if currency == "KRW":
        return won
    per_unit = int(10 ** (iso4217.Currency(currency).exponent or 0))
    return max(1, won * per_unit // WON_PER_UNIT)


def _identifier(number: int) -> UUID:
    """A UUIDv7 (RFC 9562 section 5.7) whose time and random bits follow from `number`."""
    milliseconds = int(FIRST_CREATED.timestamp() * 1000) + number * MILLISECONDS_APART
    digest = hashlib.sha256(f"plainstack sample product {number}".encode()).digest()
    octets = bytearray(milliseconds.to_bytes(6, "big") + digest[:10])
    octets[6] = 0x70 | octets[6] & 0x0F
    octets[8] = 0x80 | octets[8] & 0x3F
    return UUID(bytes=bytes(octets))
