"""A user and the authenticator app on the user's phone: the other side of the second factor."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import pyotp

from shared.context import Principal
from shared.ids import new_id
from tests.services.auth.conftest import PASSWORD, Answer, AuthServer

STEP = timedelta(seconds=30)


@dataclass
class Owner:
    """A user with an access token, and a phone once `enrol` has given it a secret."""

    auth: AuthServer
    principal: Principal
    email: str
    password: str = PASSWORD
    secret: str = ""

    @property
    def user_id(self) -> UUID:
        return UUID(self.principal.user_id)

    async def enrol(self) -> Answer:
        answer = await self.auth.call("POST", "/auth/totp", principal=self.principal)
        self.secret = answer.document.get("secret", self.secret)
        return answer

    async def confirm(self, code: str) -> Answer:
        return await self.auth.call("POST", "/auth/totp/confirm", {"code": code}, self.principal)

    async def disable(self, code: str) -> Answer:
        return await self.auth.call("DELETE", "/auth/totp", {"code": code}, self.principal)

    async def log_in(self, code: str | None = None, password: str | None = None) -> Answer:
        body = {"email": self.email, "password": password or self.password}
        return await self.auth.call("POST", "/auth/login", body if code is None else {**body, "code": code})

    async def code(self, steps: int = 0) -> str:
        """What the phone shows now, or `steps` later, on the database's clock."""
        now = (await self.auth.query("SELECT clock_timestamp()"))[0][0]
        return pyotp.TOTP(self.secret).at(now + steps * STEP)

    async def wrong_code(self) -> str:
        """One that the phone shows at none of the steps that count, nor soon after."""
        shown = {await self.code(steps) for steps in range(-3, 4)}
        return next(
            code for code in ("000000", "111111", *map(str, range(222222, 222230))) if code not in shown
        )

    async def fresh_code(self) -> str:
        """What the phone shows now, as if it had shown nothing before: no test waits for the next code."""
        await self.auth.execute("UPDATE totp SET last_step = 0")
        return await self.code()


async def owner(auth: AuthServer, email: str = "alice@example.com") -> Owner:
    """A new account, without a second factor."""
    user_id = (await auth.sign_up(email)).document["user_id"]
    return Owner(auth, Principal(user_id=user_id, session_id=str(new_id())), email)


async def enrolled(auth: AuthServer, email: str = "alice@example.com") -> tuple[Owner, list[str]]:
    """A new account with a confirmed second factor, and its recovery codes."""
    user = await owner(auth, email)
    await user.enrol()
    answer = await user.confirm(await user.code())
    assert answer.status == 200
    return user, answer.document["recovery_codes"]
