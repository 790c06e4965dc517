"""`./scripts/bench NAME`: runs one benchmark and prints its table."""

import argparse
import sys

from bench.gateway import measure_gateway

BENCHMARKS = {"gateway": measure_gateway}


def main() -> int:
    """Parse the arguments and measure."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measures beside a peer, in one run.")
    parser.add_argument("name", choices=BENCHMARKS)
    parser.add_argument("--rounds", type=int, default=5, help="how often each side has its turn (5)")
    parser.add_argument("--seconds", type=int, default=4, help="how long a turn takes (4)")
    arguments = parser.parse_args()
    return BENCHMARKS[arguments.name](arguments.rounds, arguments.seconds)


if __name__ == "__main__":
    sys.exit(main())
