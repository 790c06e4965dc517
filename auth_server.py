"""The auth server: accounts, passwords, sessions, tokens, signing keys. `python auth_server.py`.

It stands behind the gateway like every service and trusts nobody but the gateway's signed headers. Its layers
are in services/auth/, put together in its wiring; here they are opened, served and kept up.
"""

from contextlib import AsyncExitStack

from services.auth.handler.accounts import AccountHandler
from services.auth.handler.keys import KeyHandler
from services.auth.handler.oauth import OAuthHandler
from services.auth.handler.passwords import PasswordHandler
from services.auth.handler.routes import auth_routes
from services.auth.handler.second_factor import SecondFactorHandler
from services.auth.handler.sessions import SessionHandler
from services.auth.handler.tickets import TicketHandler
from services.auth.settings import AuthSettings, read_admin
from services.auth.upkeep import FirstAdmin, cleaning, telling_the_gateways
from services.auth.wiring import MIGRATIONS, NAME, AuthServices, opened_services
from shared.config import Environment
from shared.db.database import Database
from shared.duties import Duty, keep_up
from shared.http.routing import Route
from shared.runtime import Readiness, forever, run
from shared.service import ServiceSettings, serve_service
from shared.tasks import background


async def main(environment: Environment) -> None:
    """Connect, wire, serve until told to stop. Neither database nor store has to be there at the start."""
    service, settings = ServiceSettings.read(environment, NAME), AuthSettings.read(environment)
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database(service.database_url, MIGRATIONS))
        auth = await stack.enter_async_context(opened_services(database, settings))
        admin = FirstAdmin(auth.accounts, read_admin(environment))

        readiness = Readiness()
        readiness.require("database", database.check)
        readiness.require("store", auth.ground.store.check)
        readiness.require("signing keys", auth.key_ring.check)
        readiness.require("admin", admin.check)

        upkeep = keep_up(database.wait_until_migrated, duties(auth))
        await stack.enter_async_context(background(upkeep, "upkeep"))
        await stack.enter_async_context(background(admin.ensure(), "admin"))
        await stack.enter_async_context(serve_service(service, routes(auth), readiness))
        await forever()


def routes(auth: AuthServices) -> list[Route]:
    """What it answers."""
    return auth_routes(
        AccountHandler(auth.accounts),
        SessionHandler(auth.login, auth.refreshing, auth.sessions),
        PasswordHandler(auth.passwords),
        SecondFactorHandler(auth.second_factor),
        TicketHandler(auth.tickets, auth.ground.settings.ws_url),
        OAuthHandler(auth.clients, auth.inspection),
        KeyHandler(auth.key_ring, auth.ground.settings.tokens),
    )


def duties(auth: AuthServices) -> tuple[Duty, ...]:
    """What it does by itself."""
    ground = auth.ground
    return (
        *telling_the_gateways(auth.key_supply, auth.key_ring, ground.store, ground.spreader),
        *cleaning(ground.stored, ground.settings.sessions.grace),
    )


if __name__ == "__main__":
    run(NAME, main)
