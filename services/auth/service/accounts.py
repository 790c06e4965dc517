"""Who has an account."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from services.auth.domain.accounts import ACCOUNT_RULES, ADMIN, USER, AccountRepository, User
from services.auth.domain.passwords import Passwords
from services.auth.domain.revocations import Revocations
from shared.errors import Conflict, NotFound, Unauthenticated
from shared.ids import new_id
from shared.rules import check
from shared.text import tidy_name


@dataclass(frozen=True, slots=True)
class NewAccount:
    """What an account is created from."""

    email: str
    password: str = field(repr=False)
    display_name: str


class AccountService:
    """Who has an account. Besides what each says, all raise Unavailable while what they need does."""

    def __init__(self, repository: AccountRepository, passwords: Passwords, revocations: Revocations) -> None:
        self._repository = repository
        self._passwords = passwords
        self._revocations = revocations

    async def sign_up(self, account: NewAccount, roles: Sequence[str] = (USER,)) -> User:
        """A new account. Raises Invalid, or Conflict when the e-mail address is taken."""
        check(((name, getattr(account, name)) for name in ACCOUNT_RULES), ACCOUNT_RULES)
        user = User(new_id(), account.email, tidy_name(account.display_name), tuple(roles))
        if not await self._repository.add_user(user, await self._passwords.hash(account.password)):
            raise Conflict("There is an account with this e-mail address already.", code="email-taken")
        return user

    async def ensure_admin(self, account: NewAccount) -> bool:
        """An admin with that address, if the address is still free. True when it was created."""
        if await self._repository.find_login(account.email) is not None:
            return False
        try:
            await self.sign_up(account, (ADMIN, USER))
        except Conflict:
            return False  # another auth server was faster
        return True

    async def user(self, user_id: UUID) -> User:
        """The account. Raises Unauthenticated: who asks about an account that is gone is nobody."""
        user = await self._repository.find_user(user_id)
        if user is None:
            raise Unauthenticated("This account does not exist any more.")
        return user

    async def users(self) -> Sequence[User]:
        """Every account, oldest first."""
        return await self._repository.list_users()

    async def grant(self, email: str, role: str) -> User:
        """Give an account one more role; its tokens end, so that it gets new ones. Raises NotFound."""
        async with self._repository.unit_of_work():
            found = await self._repository.find_login(email)
            held = await self._repository.hold_user(found[0].user_id) if found is not None else None
            if held is None:
                raise NotFound("There is no account with this e-mail address.")
            user, _ = held
            if role in user.roles:
                return user
            changed = replace(user, roles=(*user.roles, role))
            revocations = await self._repository.set_roles(user.user_id, changed.roles)
        await self._revocations.publish(revocations)
        return changed
