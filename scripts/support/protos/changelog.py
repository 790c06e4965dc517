"""The changelog of contracts: what is under `## Unreleased` becomes a release."""

from datetime import date

UNRELEASED = "## Unreleased\n"


def with_release(text: str, version: str, today: date) -> str:
    """The changelog after the release. ValueError when there is nothing under Unreleased."""
    before, heading, rest = text.partition(UNRELEASED)
    unreleased, following, earlier = rest.partition("\n## ")
    if not any(line.strip() and not line.startswith("#") for line in unreleased.splitlines()):
        raise ValueError(f"there is nothing under {UNRELEASED.strip()!r}")
    released = f"## {version} \N{EN DASH} {today.isoformat()}\n"
    return f"{before}{heading}\n{released}{unreleased}{following}{earlier}"
