"""Claims of a token that needs no signature."""

from shared.auth.jwt import Claims


def claims(**changes: object) -> Claims:
    """User `u`, session `s`, token `t`, key `k`, issued at 100.5 s; `changes` replaces members."""
    values: dict[str, object] = {
        "subject": "u",
        "session_id": "s",
        "token_id": "t",
        "client_id": "web",
        "key_id": "k",
        "issuer": "i",
        "audience": ("a",),
        "issued_at": 100.5,
        "not_before": 100,
        "expires": 700,
    }
    return Claims(**{**values, **changes})  # type: ignore[arg-type]
