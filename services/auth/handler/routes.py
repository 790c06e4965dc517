"""The auth server's table."""

from services.auth.handler.accounts import AccountHandler
from services.auth.handler.keys import METADATA_PATH, KeyHandler
from services.auth.handler.sessions import SessionHandler
from shared.auth.jwks import JWKS_PATH
from shared.http.routing import Route


def auth_routes(accounts: AccountHandler, sessions: SessionHandler, keys: KeyHandler) -> list[Route]:
    """Its rows."""
    return [
        Route("POST", "/auth/signup", accounts.sign_up),
        Route("GET", "/auth/me", accounts.me),
        Route("POST", "/auth/login", sessions.log_in),
        Route("POST", "/auth/refresh", sessions.refresh),
        Route("POST", "/auth/logout", sessions.log_out),
        Route("GET", JWKS_PATH, keys.jwks),
        Route("GET", METADATA_PATH, keys.metadata),
    ]
