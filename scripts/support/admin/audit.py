"""`scripts/admin audit`: what has happened."""

import argparse
import json
import re
import string
from collections.abc import Mapping, Sequence

from scripts.support.admin.command import Commands
from scripts.support.admin.text import table, time
from scripts.support.admin.tools import Tools
from services.auth.domain.audit import AuditRow, Event

DEFAULT_LIMIT = 50
NAMES = tuple(event.value for event in Event)
HEADS = ("TIME", "EVENT", "USER", "SESSION", "ADDRESS", "ACTOR", "DETAILS")
COUNT = re.compile("[1-9][0-9]{0,8}")
PLAIN = frozenset(string.ascii_letters + string.digits + "._-:/@+ ")


def add_to(commands: Commands) -> None:
    """One command."""
    audit = commands.add("audit", "print what has happened to accounts, sessions and keys", _audit)
    audit.add_argument("--user", metavar="EMAIL", help="of this account only")
    audit.add_argument("--address", help="of requests from this address only")
    audit.add_argument("--event", metavar="NAME", choices=NAMES, help=f"only {', '.join(NAMES)}")
    audit.add_argument(
        "--limit", metavar="N", type=_count, default=DEFAULT_LIMIT, help="the latest N (default: %(default)s)"
    )
    audit.add_argument("--json", action="store_true", help="one JSON object a line, with everything there is")


async def _audit(tools: Tools, arguments: argparse.Namespace) -> None:
    auth = tools.auth
    user_id = (await auth.administration.account(arguments.user)).user_id if arguments.user else None
    event = Event(arguments.event) if arguments.event else None
    rows = await auth.audit.read(
        user_id=user_id, event=event, address=arguments.address, limit=arguments.limit
    )
    if arguments.json:
        for row in rows:
            print(_json(row))
    else:
        print(_table(rows))


def _table(rows: Sequence[AuditRow]) -> str:
    return table(HEADS, [_cells(row) for row in rows])


def _cells(row: AuditRow) -> tuple[str, ...]:
    entry = row.entry
    user, session = row.email or str(entry.user_id or ""), str(entry.session_id or "")
    return (_time(row), entry.event, user, session, row.address, row.actor, _details(entry.details))


def _details(details: Mapping[str, str]) -> str:
    return ", ".join(f"{key}: {_quoted(value)}" for key, value in details.items())


def _quoted(value: str) -> str:
    """As it is, unless it could be taken for more than one value."""
    return value if PLAIN.issuperset(value) else json.dumps(value, ensure_ascii=False)


def _json(row: AuditRow) -> str:
    """ASCII only: every other character is escaped, so no terminal obeys any of it."""
    entry = row.entry
    return json.dumps(
        {
            "audit_id": row.audit_id,
            "at": _time(row),
            "event": entry.event,
            "actor": row.actor,
            "user_id": entry.user_id and str(entry.user_id),
            "email": row.email,
            "session_id": entry.session_id and str(entry.session_id),
            "address": row.address,
            "request_id": row.request_id,
            "details": dict(entry.details),
        }
    )


def _time(row: AuditRow) -> str:
    return time(row.at, "milliseconds")


def _count(text: str) -> int:
    """From 1 on. Raises ArgumentTypeError."""
    if not COUNT.fullmatch(text):
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to 999999999, not {text!r}")
    return int(text)
