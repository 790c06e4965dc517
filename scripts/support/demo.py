"""`./scripts/demo`: one client's day. Sign up, log in twice, enrol a phone, work, shop, talk, log out.

Every request and answer is printed; the first answer that breaks the contract ends it with status 1.
"""

import argparse
import secrets
import sys
import time

import pyotp

from scripts.support.accounts import admin_account
from scripts.support.conversation import Conversation, Surprise, require
from scripts.support.demo_chat import ChatDemo
from scripts.support.demo_shop import ShopDemo
from scripts.support.demo_sockets import Sockets
from scripts.support.failures import exit_status
from scripts.support.settings import read_settings
from shared.config import Environment

LOGIN_MEMBERS = ("access_token", "token_type", "expires_in", "refresh_token", "session_id")
LOGOUT_BITES_SECONDS = 5.0  # far more than the gateway needs


class Demo:
    """The story, told in methods that follow each other."""

    def __init__(self, environment: Environment) -> None:
        self._gateway = Conversation(f"http://127.0.0.1:{environment.port('gateway')}")
        self._product = Conversation(f"http://127.0.0.1:{environment.port('product')}")
        self._environment = environment
        self._email = f"demo-{secrets.token_hex(4)}@example.com"
        self._password = secrets.token_urlsafe(16)
        self._steps = 0

    def run(self) -> None:
        """Surprise when anything is not as it should be."""
        self._anyone_reads_the_catalogue()
        self._sign_up()
        tokens = self._log_in()
        self._use(tokens["access_token"])
        self._lose_a_device(tokens["access_token"])
        self._change_password(tokens["access_token"])
        self._enrol_a_phone(tokens["access_token"])
        admin_token = self._admin_works()
        tokens = self._refresh(tokens["refresh_token"])
        with Sockets() as sockets:
            scene = (self._gateway, sockets, tokens["access_token"], self._step)
            ShopDemo(*scene).run(admin_token)
            ChatDemo(*scene).run()
        self._log_out(tokens)
        self._nobody_gets_around_the_gateway()

    def _anyone_reads_the_catalogue(self) -> None:
        self._step("Anyone may read the catalogue")
        page = self._gateway.expect(200, "GET", "/products?limit=2")
        require(isinstance(page.member("items"), list), "a page has items")

    def _sign_up(self) -> None:
        self._step("Sign up; an address can be taken only once")
        account = {"email": self._email, "password": self._password, "display_name": "Ada"}
        made = self._gateway.expect(201, "POST", "/auth/signup", account)
        require(made.member("email") == self._email, "the account has the address that was given")
        self._gateway.expect(409, "POST", "/auth/signup", account)
        self._step("A bad form is refused, and every bad field is named")
        bad = {"email": "nobody", "password": "", "display_name": ""}
        named = self._gateway.expect(422, "POST", "/auth/signup", bad).bad_fields()
        require(named >= {"email", "password"}, f"all bad fields are named, not only {named}")

    def _log_in(self) -> dict[str, str]:
        self._step("A wrong password opens nothing; the right one gives two tokens")
        self._gateway.expect(401, "POST", "/auth/login", {"email": self._email, "password": "wrong password"})
        return self._log_in_as(self._email, self._password)

    def _log_in_as(self, email: str, password: str) -> dict[str, str]:
        answer = self._gateway.expect(200, "POST", "/auth/login", {"email": email, "password": password})
        return {name: answer.member(name) for name in LOGIN_MEMBERS}

    def _use(self, token: str) -> None:
        self._step("The token says who asks; without one there is nobody")
        me = self._gateway.expect(200, "GET", "/auth/me", token=token)
        require(me.member("email") == self._email, "it is who logged in")
        self._gateway.expect(401, "GET", "/auth/me")
        self._step("A forged token is refused, and so is the work of an admin")
        self._gateway.expect(401, "GET", "/auth/me", token=f"{token[:-4]}AAAA")
        self._gateway.expect(403, "POST", "/products", _product("Not mine to make"), token=token)

    def _lose_a_device(self, token: str) -> None:
        self._step("Logged in on two devices, one of which is lost: its session ends, the other goes on")
        lost = self._log_in_as(self._email, self._password)
        page = self._gateway.expect(200, "GET", "/auth/sessions", token=token)
        require(len(page.member("items")) == len((token, lost)), "both are listed")
        self._gateway.expect(204, "DELETE", f"/auth/sessions/{lost['session_id']}", token=token)
        self._until_refused(lost["access_token"])
        self._gateway.expect(401, "GET", "/auth/me", token=lost["access_token"])
        self._gateway.expect(200, "GET", "/auth/me", token=token)

    def _change_password(self, token: str) -> None:
        self._step("A new password; one that everybody uses is refused")
        new_password = secrets.token_urlsafe(16)
        wish = {"current_password": self._password, "new_password": "password123"}
        self._gateway.expect(422, "POST", "/auth/password", wish, token=token)
        self._gateway.expect(
            204, "POST", "/auth/password", {**wish, "new_password": new_password}, token=token
        )
        self._password = new_password

    def _enrol_a_phone(self, token: str) -> None:
        self._step("A second factor: the phone shows the server a code, and gets ten for the day it is lost")
        phone = pyotp.TOTP(self._gateway.expect(201, "POST", "/auth/totp", token=token).member("secret"))
        confirmed = self._gateway.expect(
            200, "POST", "/auth/totp/confirm", {"code": phone.now()}, token=token
        )
        recovery_code = confirmed.member("recovery_codes")[0]
        self._step("From now on the password alone opens nothing, and no code opens anything twice")
        login = {"email": self._email, "password": self._password}
        self._gateway.expect(401, "POST", "/auth/login", login)
        login["code"] = phone.at(time.time() + phone.interval)  # the next one already: clocks may differ
        self._gateway.expect(200, "POST", "/auth/login", login)
        self._gateway.expect(401, "POST", "/auth/login", login)
        self._gateway.expect(200, "POST", "/auth/login", {**login, "code": recovery_code})

    def _admin_works(self) -> str:
        self._step("An admin makes a product")
        admin = admin_account(self._environment, "demo")
        token = self._log_in_as(admin.email, admin.password)["access_token"]
        made = self._gateway.expect(201, "POST", "/products", _product("Demo kettle"), token=token)
        target = made.header("Location")
        self._step("Everyone sees it; whoever has this version already need not load it again")
        tag = self._gateway.expect(200, "GET", target).header("ETag")
        self._gateway.expect(304, "GET", target, headers={"If-None-Match": tag})
        self._step("A change must know what it changes")
        change = {"price": {"amount": 24000, "currency": "KRW"}}
        self._gateway.expect(200, "PATCH", target, change, token=token, headers={"If-Match": tag})
        self._gateway.expect(412, "PATCH", target, change, token=token, headers={"If-Match": tag})
        self._step("A bad product is refused, and every bad field is named")
        bad = {"name": "", "price": {"amount": -1, "currency": "XYZ"}}
        named = self._gateway.expect(422, "POST", "/products", bad, token=token).bad_fields()
        require(named >= {"name", "price.amount", "price.currency"}, f"all bad fields, not only {named}")
        self._step("Out of the catalogue with it")
        self._gateway.expect(204, "DELETE", target, token=token)
        return token

    def _refresh(self, refresh_token: str) -> dict[str, str]:
        self._step("A fresh access token for a refresh token, which is good for one use")
        answer = self._gateway.expect(200, "POST", "/auth/refresh", {"refresh_token": refresh_token})
        require(answer.member("refresh_token") != refresh_token, "the refresh token rotates")
        return {name: answer.member(name) for name in LOGIN_MEMBERS}

    def _log_out(self, tokens: dict[str, str]) -> None:
        self._step("Log out: from now on both tokens are worth nothing")
        self._gateway.expect(204, "POST", "/auth/logout", token=tokens["access_token"])
        seconds = self._until_refused(tokens["access_token"])
        print(f"   the gateway refuses the token {seconds * 1000:.0f} ms after the 204\n")
        self._gateway.expect(401, "GET", "/auth/me", token=tokens["access_token"])
        self._gateway.expect(401, "POST", "/auth/refresh", {"refresh_token": tokens["refresh_token"]})

    def _until_refused(self, token: str) -> float:
        """Seconds until the gateway knows of the logout."""
        started = time.monotonic()
        bearer = {"Authorization": f"Bearer {token}"}
        while self._gateway.send("GET", "/auth/me", None, bearer).status != 401:  # noqa: PLR2004
            require(time.monotonic() - started < LOGOUT_BITES_SECONDS, "a logout bites at once")
        return time.monotonic() - started

    def _nobody_gets_around_the_gateway(self) -> None:
        self._step("Straight to the service, with a name of one's own choice: refused")
        forged = {"X-Authenticated-User-ID": "0190a5e4-0000-7000-8000-000000000000"}
        self._product.expect(401, "GET", "/products", headers=forged)

    def _step(self, title: str) -> None:
        self._steps += 1
        print(f"{self._steps}. {title}\n")


def _product(name: str) -> dict[str, object]:
    return {"name": name, "description": "Boils water.", "price": {"amount": 25000, "currency": "KRW"}}


def _main() -> int:
    parser = argparse.ArgumentParser(
        prog="./scripts/demo",
        description="Plays a client against the running system. PORT_BASE tells where that is. "
        "The admin is ADMIN_EMAIL with ADMIN_PASSWORD, or else an account made with ./scripts/admin.",
    )
    parser.parse_args()
    demo = Demo(read_settings())
    try:
        demo.run()
    except Surprise as surprise:
        print(f"\ndemo: a surprise: {surprise}", file=sys.stderr)
        return 1
    print("demo: everything went as it should")
    return 0


if __name__ == "__main__":
    sys.exit(exit_status("demo", _main))
