"""Optimistic concurrency: a change may say which version of a thing it is meant for (pure)."""

from collections.abc import Callable

from shared.errors import PreconditionFailed

VersionTest = Callable[[int], bool]  # whether the caller's precondition allows a version; 0: there is none


def any_version(version: int) -> bool:
    """The precondition of a caller who has none."""
    return True


def require_version(thing: str, version: int, is_expected: VersionTest) -> None:
    """Raises PreconditionFailed when `thing` (`The product`) is not at a version that is expected."""
    if not is_expected(version):
        raise PreconditionFailed(f"{thing} is at version {version}, which If-Match does not name.")
