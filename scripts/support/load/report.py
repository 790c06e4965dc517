"""What has come of a load, as a table, and whether anything of it must not be."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median, quantiles

from scripts.support.admin.text import table
from scripts.support.load.witness import Witness

SHOWN_FAULTS = 5  # of each kind


@dataclass
class Report:
    """Filled while the clients play, who took `seconds`. Waits are seconds, too.

    `waits` are of orders that were placed with `Prefer: wait` and answered with their end, from the first
    attempt on. `retries` are by their cause.
    """

    witness: Witness = field(default_factory=Witness)
    seconds: float = 0.0
    waits: list[float] = field(default_factory=list)
    retries: Counter[str] = field(default_factory=Counter)
    price_changed: int = 0
    repeated: int = 0
    cancelled_in_time: int = 0
    cancelled_too_late: int = 0
    unanswered: list[str] = field(default_factory=list)
    surprises: list[str] = field(default_factory=list)
    discrepancies: list[str] = field(default_factory=list)

    @property
    def orders(self) -> int:
        """How many clients were promised with a 2xx."""
        return len(self.witness.tales)

    @property
    def endings(self) -> Counter[str]:
        """How many orders have become what; without those that are not final."""
        return Counter(tale.ending for tale in self.witness.tales.values() if tale.ending)

    @property
    def not_final(self) -> list[str]:
        """The orders of which nothing has become."""
        return [order_id for order_id, tale in self.witness.tales.items() if not tale.ending]

    @property
    def faults(self) -> Mapping[str, Sequence[str]]:
        """What must not be, by what it is called."""
        return {
            "lost": self.witness.lost,
            "contradictions": self.witness.contradictions,
            "not final": self.not_final,
            "unanswered": self.unanswered,
            "unexpected answers": self.surprises,
            "stock or money wrong": self.discrepancies,
        }

    @property
    def is_clean(self) -> bool:
        """Whether no fault has been found."""
        return not any(self.faults.values())

    def __str__(self) -> str:
        rows = [
            *self._orders(),
            *self._clients(),
            *([name, str(len(all_))] for name, all_ in self.faults.items()),
        ]
        details = [f"{name}: {each}" for name, all_ in self.faults.items() for each in all_[:SHOWN_FAULTS]]
        return "\n".join([table(["what", "how many"], rows), *details])

    def _orders(self) -> list[list[str]]:
        rate = self.orders / self.seconds if self.seconds else 0.0
        rows = [["orders", f"{self.orders} in {self.seconds:.1f} s: {rate:.1f} a second"]]
        rows += [[f"  {ending}", str(count)] for ending, count in sorted(self.endings.items())]
        return rows

    def _clients(self) -> list[list[str]]:
        return [
            ["other total expected, refused", str(self.price_changed)],
            ["cancelled in time", f"{self.cancelled_in_time}, too late {self.cancelled_too_late}"],
            ["asked three times under one key", str(self.repeated)],
            ["waited for the end", self._waits()],
            ["retries", _counts(self.retries)],
        ]

    def _waits(self) -> str:
        if len(self.waits) < 2:  # noqa: PLR2004 - there are no quantiles of one
            return str(len(self.waits))
        p99 = quantiles(self.waits, n=100, method="inclusive")[-1]
        times = [f"{each * 1000:.0f}" for each in (median(self.waits), p99, max(self.waits))]
        return f"{len(self.waits)}: median {times[0]} ms, p99 {times[1]} ms, longest {times[2]} ms"


def _counts(counter: Counter[str]) -> str:
    each = ", ".join(f"{cause}: {count}" for cause, count in counter.most_common())
    return f"{counter.total()} ({each})" if each else "0"
