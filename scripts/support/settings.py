"""Settings as every command reads them: the environment, and below it the lines KEY=value of a file .env.

Plain `honcho start` has it the other way round: there .env wins.
"""

import os

from honcho.environ import parse  # type: ignore[import-untyped]

from shared.config import CHECKOUT, Environment


def read_settings() -> Environment:
    """The settings of this command. ConfigError when one is bad."""
    try:
        below = parse((CHECKOUT / ".env").read_text())
    except FileNotFoundError:
        below = {}
    return Environment({**below, **os.environ})
