"""`./scripts/check-invariants`: reads the command line, looks, and says what it has found."""

import argparse
import json
import logging
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict

from scripts.support.admin.text import table
from scripts.support.failures import exit_status
from scripts.support.invariants.check import AGE_SECONDS, check
from scripts.support.invariants.findings import Finding
from scripts.support.settings import read_settings

EPILOG = """\
Reads the databases of order, payment, inventory and chat (and with --published of all that have an outbox),
each with its service's own role, and changes nothing.
The services may be at work or not; PostgreSQL must run. Exit status: 0 when everything holds, 1 when
something does not, 2 when that could not be found out."""
SOUND, WRONG = 0, 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="./scripts/check-invariants",
        description="Checks that orders, money and goods add up, and no message of a room is missing.",
        epilog=EPILOG,
    )
    parser.add_argument(
        "--age",
        type=_seconds,
        default=AGE_SECONDS,
        metavar="SECONDS",
        help=f"what an order may take to become final ({AGE_SECONDS:g})",
    )
    parser.add_argument("--published", action="store_true", help="no event may wait to be published, either")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    return parser


def _seconds(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,3})?", text):
        raise argparse.ArgumentTypeError(f"must be a number of seconds, not {text!r}")
    return float(text)


def _table(findings: Sequence[Finding]) -> str:
    rows = [
        [each.what, str(each.looked_at), str(each.wrong or ""), "; ".join(each.examples)] for each in findings
    ]
    return table(["WHAT MUST HOLD", "LOOKED AT", "WRONG", "FOR EXAMPLE"], rows)


def _verdict(findings: Sequence[Finding]) -> str:
    broken = sum(not each.is_sound for each in findings)
    return f"{broken} of {len(findings)} do not hold" if broken else f"all {len(findings)} hold"


def _main() -> int:
    arguments = _parser().parse_args()
    logging.disable()  # what goes wrong is said once, in the last line
    findings = check(read_settings(), arguments.age, published=arguments.published)
    if arguments.json:
        print(json.dumps([asdict(each) for each in findings], indent=2))
    else:
        print(f"{_table(findings)}\n\n{_verdict(findings)}")
    return SOUND if all(each.is_sound for each in findings) else WRONG


if __name__ == "__main__":
    sys.exit(exit_status("check-invariants", _main))
