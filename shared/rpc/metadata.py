"""What every call carries in its metadata: the same as a request to a service does in its header. Pure.

A call is a POST to `/package.Service/Method` over HTTP/2, and that is what its identity is signed for.
"""

from collections.abc import Iterable

from shared.auth.identity import IdentitySigner, IdentityVerifier
from shared.context import Principal, Trace
from shared.http.messages import Headers

METHOD = "POST"

Metadata = tuple[tuple[str, str], ...]


def call_metadata(
    signer: IdentitySigner, path: str, request_id: str, trace: Trace, principal: Principal, now_ms: int
) -> Metadata:
    """For a call of `path` in the name of `principal`; `now_ms` is Unix time in milliseconds."""
    identity = signer.sign(request_id, METHOD, path, principal, now_ms)
    fields = [("x-request-id", request_id), ("traceparent", trace.traceparent), *identity]
    return tuple((name.lower(), value) for name, value in fields)


def read_metadata(metadata: Iterable[tuple[str, str | bytes]]) -> Headers:
    """The fields of a call that are text."""
    return Headers([(name, value) for name, value in metadata if isinstance(value, str)])


def verify(verifier: IdentityVerifier, path: str, headers: Headers, now_ms: int) -> Principal:
    """Who asks for `path`. Raises IdentityRefused."""
    return verifier.verify(METHOD, path, headers, now_ms)
