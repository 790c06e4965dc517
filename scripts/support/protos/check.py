"""What stands in the way of a merge: the contracts against their rules and against the last release."""

import re
from collections.abc import Iterator

from scripts.support.protos.buf import COMPILE, Finding, format_difference, lint
from scripts.support.protos.changes import Changes, changes_since, last_release
from scripts.support.protos.folder import Contracts
from scripts.support.protos.versions import Change, Version, fitting

SHOWN = 5  # files that differ: more of them tell nobody more


def check(contracts: Contracts) -> list[str]:
    """One line for each fault, or a few for a difference in format; none when all is well."""
    findings = lint(contracts)
    faults = style_faults(contracts, findings)
    if not _compile(findings):
        return faults
    last = last_release(contracts)
    return [*faults, *_release_faults(last, changes_since(contracts, last))]


def style_faults(contracts: Contracts, findings: list[Finding]) -> list[str]:
    """What lint has found, and what is not formatted. The latter means nothing where files make no sense."""
    faults = [str(finding) for finding in findings]
    if _compile(findings) and (difference := format_difference(contracts)):
        faults.append(f"{difference.rstrip()}\nnot formatted: .venv/bin/buf format -w {contracts.folder}")
    return faults


def _compile(findings: list[Finding]) -> bool:
    """Whether these files make sense at all."""
    return all(finding.rule != COMPILE for finding in findings)


def _release_faults(last: Version, changes: Changes) -> Iterator[str]:
    if changes.change is Change.BREAKING:
        yield from breaking_faults(last, changes)
    elif changes.change is not Change.NOTHING:
        files = ", ".join([*changes.files[:SHOWN], *(["…"] if changes.files[SHOWN:] else [])])
        step = fitting(last, changes.change)[0]
        yield f"there are {changes} since {last} ({files}): ./scripts/protos release {step}"


def breaking_faults(last: Version, changes: Changes) -> Iterator[str]:
    """What breaks, and what to do instead."""
    yield from map(str, changes.breaks)
    yield (
        f"clients of {last} would break. Leave what there is and add beside it, or begin a new package "
        f"({_next_package(changes)}) and let both live until nobody uses the old one"
    )


def _next_package(changes: Changes) -> str:
    """shop.product.v2 where something in shop/product/v1 breaks."""
    for finding in changes.breaks:
        *names, version = finding.path.split("/")[:-1] or [""]
        if re.fullmatch(r"v\d+", version):
            return ".".join((*names, f"v{int(version[1:]) + 1}"))
    return "v2 beside v1"
