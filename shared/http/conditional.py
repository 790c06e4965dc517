"""Conditional requests (RFC 9110 section 13) for resources that count their versions.

The entity tag is the version in quotes: `"3"`. It is a strong one, because a version has one representation.
"""

import re

from shared.errors import Malformed
from shared.http.messages import Headers
from shared.versions import VersionTest, any_version

# Section 8.8.3; a comma may stand inside a tag, so a list cannot simply be split.
_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')


def entity_tag(version: int) -> str:
    """The `ETag` of a resource at `version`."""
    return f'"{version}"'


def is_not_modified(headers: Headers, version: int) -> bool:
    """Whether `If-None-Match` lets a GET or HEAD answer 304: it names `version`, by weak comparison."""
    wanted = headers.get("if-none-match")
    if wanted is None:
        return False
    tags = [tag.removeprefix("W/") for tag in _TAG.findall(wanted)]
    return wanted.strip() == "*" or entity_tag(version) in tags


def if_match(headers: Headers) -> VersionTest:
    """Whether a version is one that `If-Match` allows, by strong comparison; all are, without the header.

    Version 0 stands for a resource that there is not (yet): no `If-Match` allows it.

    Raises Malformed when the header is no list of entity tags, because ignoring it would risk a lost update.
    """
    wanted = headers.get("if-match")
    if wanted is None:
        return any_version
    if wanted.strip() == "*":
        return lambda version: version > 0
    tags = frozenset(_TAG.findall(wanted))
    if not tags or _TAG.sub("", wanted).strip(" \t,"):
        raise Malformed('If-Match must be "*" or a list of entity tags in double quotes.')
    return lambda version: version > 0 and entity_tag(version) in tags
