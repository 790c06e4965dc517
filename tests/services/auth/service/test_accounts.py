"""Who has an account."""

from services.auth.service.accounts import NewAccount
from tests.services.auth.conftest import PASSWORD, AuthServer


async def test_an_admin_is_created_once(auth: AuthServer) -> None:
    admin = NewAccount("root@example.com", PASSWORD, "Root")
    assert await auth.services.accounts.ensure_admin(admin)
    assert not await auth.services.accounts.ensure_admin(admin)
    assert auth.claims(await auth.log_in("root@example.com")).roles == {"admin", "user"}
