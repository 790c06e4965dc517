"""Which services this checkout has: the folders under services/ that keep migrations, so own a database."""

from shared.config import CHECKOUT, Environment


def services_with_database() -> tuple[str, ...]:
    """Their names, sorted. A new service joins by having a `migrations` folder."""
    return tuple(sorted(folder.parent.name for folder in (CHECKOUT / "services").glob("*/migrations")))


def embedded_services(environment: Environment) -> tuple[str, ...]:
    """Those that have no DATABASE_URL_<SERVICE> of their own."""
    names = services_with_database()
    return tuple(name for name in names if not environment.values.get(f"DATABASE_URL_{name.upper()}"))
