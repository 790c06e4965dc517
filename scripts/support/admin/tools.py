"""What the operator's commands work with: the auth server's use cases over its database, without the server.

Revocations go to the store at once where it can be reached. Where it cannot, the command has done its work
all the same: the auth server finds what is unsent and sends it.
"""

import os
import pwd
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from scripts.support.opened_database import opened_database
from services.auth.domain.audit import Actor
from services.auth.domain.revocations import Revocation
from services.auth.revocations import RevocationSpreader
from services.auth.settings import AuthSettings
from services.auth.wiring import MIGRATIONS, NAME, AuthServices, opened_services
from shared.config import Environment
from shared.errors import Unavailable

NOT_SENT = "admin: the store cannot be reached: gateways hear of this as soon as the auth server reaches it"


@dataclass(frozen=True, slots=True)
class Tools:
    """The use cases, which write `operator` into the audit table, and the settings of this command."""

    auth: AuthServices
    environment: Environment


@asynccontextmanager
async def opened_tools(environment: Environment) -> AsyncIterator[Tools]:
    """Usable while the block runs. Raises ConfigError; SetupError when the database cannot be used."""
    settings = AuthSettings.read(environment)
    async with (
        opened_database(environment, NAME, MIGRATIONS) as database,
        opened_services(database, settings, Actor("operator", _whoami()), _SentIfPossible) as auth,
    ):
        yield Tools(auth, environment)


def _whoami() -> str:
    """For the audit table: the operating system's user, and this machine."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # as in a container that is run under any number
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"


class _SentIfPossible:
    """The domain's Revocations, for whom an absent store is no failure."""

    def __init__(self, spreader: RevocationSpreader) -> None:
        self._spreader = spreader

    async def publish(self, revocations: Sequence[Revocation]) -> None:
        """Returns when the store has them, or after saying that it has not."""
        try:
            await self._spreader.publish(revocations)
        except Unavailable:
            print(NOT_SENT, file=sys.stderr)
