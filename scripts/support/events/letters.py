"""Dead letters: which there are, what is in one, and another try."""

import json
from collections import Counter
from collections.abc import Sequence
from uuid import UUID

from scripts.support.admin.text import shown, table, time
from scripts.support.events.attempts import attempt, summary
from scripts.support.events.services import OpenedConsumer, consumers, opened_consumer
from scripts.support.failures import SetupError
from shared.config import Environment
from shared.events.consumer import Outcome
from shared.events.dead_letters import DeadLetter
from shared.events.envelope import Unreadable, decode

ERROR_CHARACTERS = 60


async def list_letters(environment: Environment, names: Sequence[str]) -> int:
    """A table of the dead letters of the named consumers, or of all."""
    rows = []
    for name in names or consumers():
        async with opened_consumer(environment, name) as opened:
            rows += [_row(name, letter) for letter in await opened.consumer.dead_letters.every()]
    print(
        table(["CONSUMER", "ID", "TYPE", "SUBJECT", "PARKED", "ERROR"], rows) if rows else "no dead letters"
    )
    return 0


async def show_letter(environment: Environment, name: str, letter_id: UUID) -> int:
    """All there is to know of one. Raises SetupError when there is none."""
    async with opened_consumer(environment, name) as opened:
        letter = await _letter(opened, letter_id)
    facts = {
        "id": str(letter.letter_id),
        "place": letter.message.place,
        "key": letter.message.key,
        "parked": time(letter.parked_at),
        "attempts": str(letter.attempts),
        "error": letter.error,
    }
    for key, value in facts.items():
        print(f"{key:<9} {shown(value)}")
    print(_contents(letter.message.value))
    return 0


async def redrive(environment: Environment, name: str, letter_ids: Sequence[UUID]) -> int:
    """Try the named dead letters again, or all, through the inbox. 1 when some are still parked."""
    async with opened_consumer(environment, name) as opened:
        named = [await _letter(opened, each) for each in letter_ids]
        letters = named or await opened.consumer.dead_letters.every()
        outcomes = Counter([await _try_again(opened, each) for each in letters])
    print(summary(outcomes) if letters else f"no dead letters of {name}")
    return 1 if outcomes[Outcome.PARKED] else 0


async def discard(environment: Environment, name: str, letter_ids: Sequence[UUID]) -> int:
    """Throw the named dead letters away. Raises SetupError, and keeps all, when one is not there."""
    async with opened_consumer(environment, name) as opened, opened.database.transaction():
        for letter_id in letter_ids:
            await _letter(opened, letter_id)
            await opened.consumer.dead_letters.remove(letter_id)
    print(f"{len(letter_ids)} dead letters of {name} are gone")
    return 0


async def _try_again(opened: OpenedConsumer, letter: DeadLetter) -> Outcome:
    outcome, words = await attempt(_take(opened, letter))
    print(f"{letter.letter_id} {shown(words)}", flush=True)
    return outcome


async def _take(opened: OpenedConsumer, letter: DeadLetter) -> Outcome:
    """The effect and the end of the letter are one transaction."""
    async with opened.database.transaction():
        outcome = await opened.consumer.take(letter.message)
        await opened.consumer.dead_letters.remove(letter.letter_id)
    return outcome


async def _letter(opened: OpenedConsumer, letter_id: UUID) -> DeadLetter:
    letter = await opened.consumer.dead_letters.get(letter_id)
    if letter is None:
        raise SetupError(f"{opened.consumer.name} has no dead letter {letter_id}")
    return letter


def _row(name: str, letter: DeadLetter) -> list[str]:
    try:
        envelope = decode(letter.message.value)
        kind, subject = envelope.type, envelope.subject
    except Unreadable:
        kind, subject = "(no event)", letter.message.key
    error = letter.error if len(letter.error) <= ERROR_CHARACTERS else f"{letter.error[:ERROR_CHARACTERS]}…"
    return [name, str(letter.letter_id), kind, subject, time(letter.parked_at), error]


def _contents(value: bytes) -> str:
    """The event as indented JSON; what is none, as far as it can be shown."""
    try:
        return json.dumps(json.loads(value), indent=2)  # ASCII, so a terminal obeys nothing of it
    except (ValueError, RecursionError):
        return shown(value.decode(errors="backslashreplace"))
