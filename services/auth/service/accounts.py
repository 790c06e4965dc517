"""Who has an account."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

from services.auth.domain.accounts import ACCOUNT_RULES, ADMIN, USER, AccountRepository, User
from services.auth.domain.audit import AuditEntry, AuditLog, Event
from services.auth.domain.passwords import PasswordPolicy, Passwords
from shared.errors import Conflict, Unauthenticated
from shared.ids import new_id
from shared.rules import Rule, check
from shared.text import tidy_name


@dataclass(frozen=True, slots=True)
class NewAccount:
    """What an account is created from."""

    email: str
    password: str = field(repr=False)
    display_name: str


class AccountService:
    """Who has an account. Besides what each says, all raise Unavailable while what they need does."""

    def __init__(
        self,
        repository: AccountRepository,
        passwords: Passwords,
        policy: PasswordPolicy,
        audit: AuditLog,
    ) -> None:
        self._repository = repository
        self._passwords = passwords
        self._policy = policy
        self._audit = audit
        self.rules: dict[str, Rule] = {**ACCOUNT_RULES, "password": policy.fault}  # for each field by itself

    async def sign_up(self, account: NewAccount, roles: Sequence[str] = (USER,)) -> User:
        """A new account. Raises Invalid, or Conflict when the e-mail address is taken."""
        rules: dict[str, Rule] = {**self.rules, "password": partial(self._policy.fault, email=account.email)}
        check(((name, getattr(account, name)) for name in rules), rules)
        if await self._repository.find_login(account.email) is not None:
            raise _taken()  # before anything is hashed
        user = User(new_id(), account.email, tidy_name(account.display_name), tuple(roles))
        password_hash = await self._passwords.hash(account.password)
        async with self._repository.unit_of_work():
            if not await self._repository.add_user(user, password_hash):
                raise _taken()
            details = {"roles": " ".join(roles)}
            await self._audit.write(AuditEntry(Event.SIGNED_UP, user.user_id, details=details))
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


def _taken() -> Conflict:
    return Conflict("There is an account with this e-mail address already.", code="email-taken")
