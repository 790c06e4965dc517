"""The auth server's table."""

from services.auth.handler.accounts import AccountHandler
from services.auth.handler.keys import METADATA_PATH, KeyHandler
from services.auth.handler.oauth import INTROSPECTION_PATH, REVOCATION_PATH, OAuthHandler
from services.auth.handler.passwords import PasswordHandler
from services.auth.handler.second_factor import SecondFactorHandler
from services.auth.handler.sessions import SessionHandler
from services.auth.handler.tickets import TicketHandler
from shared.auth.jwks import JWKS_PATH
from shared.http.routing import Route


def auth_routes(
    accounts: AccountHandler,
    sessions: SessionHandler,
    passwords: PasswordHandler,
    second_factor: SecondFactorHandler,
    tickets: TicketHandler,
    oauth: OAuthHandler,
    keys: KeyHandler,
) -> list[Route]:
    """Its rows."""
    return [
        Route("POST", "/auth/signup", accounts.sign_up),
        Route("GET", "/auth/me", accounts.me),
        Route("POST", "/auth/login", sessions.log_in),
        Route("POST", "/auth/refresh", sessions.refresh),
        Route("POST", "/auth/logout", sessions.log_out),
        Route("GET", "/auth/sessions", sessions.browse),
        Route("DELETE", "/auth/sessions/{session_id}", sessions.end),
        Route("POST", "/auth/password", passwords.change),
        Route("POST", "/auth/totp", second_factor.enrol),
        Route("POST", "/auth/totp/confirm", second_factor.confirm),
        Route("DELETE", "/auth/totp", second_factor.disable),
        Route("POST", "/ws/tickets", tickets.issue),
        Route("POST", INTROSPECTION_PATH, oauth.introspect),
        Route("POST", REVOCATION_PATH, oauth.revoke),
        Route("GET", JWKS_PATH, keys.jwks),
        Route("GET", METADATA_PATH, keys.metadata),
    ]
