"""Which services this checkout has: the folders under services/ that keep migrations, so own a database."""

from shared.config import CHECKOUT


def services_with_database() -> tuple[str, ...]:
    """Their names, sorted. A new service joins by having a `migrations` folder."""
    return tuple(sorted(folder.parent.name for folder in (CHECKOUT / "services").glob("*/migrations")))
