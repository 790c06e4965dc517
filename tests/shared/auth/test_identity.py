import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.auth.identity import (
    IDENTITY_HEADERS,
    MAX_AGE_MS,
    IdentityRefused,
    IdentitySigner,
    IdentityVerifier,
)
from shared.config import ConfigError, Secret
from shared.context import Principal
from shared.http.messages import Fields, Headers

NOW = 1_767_225_600_000
METHOD, TARGET, REQUEST_ID = "GET", "/orders/7?limit=2&q=%20", "req-1"
ALICE = Principal("u-1", "s-1", "t-1", 1_767_226_200, frozenset({"user", "admin"}), "203.0.113.9")
KEY = Secret("k1:" + "E" * 43)
OTHER_KEY = Secret("k1:" + "M" * 43)

text = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=40)


def signed(principal: Principal = ALICE, key: Secret = KEY, callee: str = "product") -> Fields:
    fields = IdentitySigner("gateway", callee, key).sign(REQUEST_ID, METHOD, TARGET, principal, NOW)
    return [("X-Request-ID", REQUEST_ID), *fields]


def verify(
    fields: Fields, *, method: str = METHOD, target: str = TARGET, now: int = NOW, callee: str = "product"
) -> Principal:
    return IdentityVerifier(callee, {"gateway": KEY}).verify(method, target, Headers(fields), now)


def replaced(fields: Fields, name: str, value: str) -> Fields:
    return [(key, value if key == name else old) for key, old in fields]


def test_what_was_signed_is_what_is_read() -> None:
    assert verify(signed()) == ALICE


def test_an_anonymous_request_is_signed_too() -> None:
    nobody = Principal(client_address="203.0.113.9")
    assert verify(signed(nobody)) == nobody
    assert nobody.is_anonymous


@given(
    st.builds(
        Principal,
        user_id=text,
        session_id=text,
        token_id=text,
        token_expires=st.integers(0, 2**53),
        roles=st.frozensets(st.sampled_from(["user", "admin", "support.2", "a-b_c"])),
        client_address=text,
    ),
    text,
    text,
)
def test_any_principal_survives(principal: Principal, target: str, request_id: str) -> None:
    fields = IdentitySigner("gateway", "product", KEY).sign(request_id, "PUT", target, principal, NOW)
    headers = Headers([("x-request-id", request_id), *fields])
    assert IdentityVerifier("product", {"gateway": KEY}).verify("PUT", target, headers, NOW) == principal


@pytest.mark.parametrize("name", ["X-Request-ID", *IDENTITY_HEADERS])
def test_a_changed_header_is_refused(name: str) -> None:
    with pytest.raises(IdentityRefused):
        verify(replaced(signed(), name, "1767226201"))


@pytest.mark.parametrize("name", ["X-Request-ID", "X-Identity-Signature", *IDENTITY_HEADERS])
def test_a_missing_header_is_refused(name: str) -> None:
    with pytest.raises(IdentityRefused):
        verify([field for field in signed() if field[0] != name])


@pytest.mark.parametrize("name", ["X-Request-ID", "X-Identity-Signature", *IDENTITY_HEADERS])
def test_a_repeated_header_is_refused(name: str) -> None:
    fields = signed()
    with pytest.raises(IdentityRefused, match="does not come from"):
        verify([*fields, (name.lower(), dict(fields)[name])])


def test_an_identity_header_added_to_an_anonymous_request_is_refused() -> None:
    with pytest.raises(IdentityRefused):
        verify([*signed(Principal()), ("X-Authenticated-Roles", "admin")])


def test_a_reserved_header_that_nobody_signs_is_refused() -> None:
    with pytest.raises(IdentityRefused):
        verify([*signed(), ("X-Authenticated-Email", "root@example.com")])


def test_the_signature_is_for_one_method_target_and_callee() -> None:
    with pytest.raises(IdentityRefused):
        verify(signed(), method="POST")
    with pytest.raises(IdentityRefused):
        verify(signed(), target="/orders/8")
    with pytest.raises(IdentityRefused):
        verify(signed(), callee="payment")


def test_a_key_for_another_service_does_not_open_this_one() -> None:
    with pytest.raises(IdentityRefused):
        verify(signed(key=OTHER_KEY))
    with pytest.raises(IdentityRefused):
        verify(signed(key=OTHER_KEY, callee="payment"))


@pytest.mark.parametrize("age", [-MAX_AGE_MS, 0, MAX_AGE_MS])
def test_it_is_valid_for_thirty_seconds(age: int) -> None:
    assert verify(signed(), now=NOW + age) == ALICE


@pytest.mark.parametrize("age", [-MAX_AGE_MS - 1, MAX_AGE_MS + 1])
def test_then_it_is_too_old(age: int) -> None:
    with pytest.raises(IdentityRefused) as refused:
        verify(signed(), now=NOW + age)
    assert "old" in refused.value.reason


def test_text_cannot_move_from_one_header_to_the_next() -> None:
    fields = signed(Principal(user_id="ab", session_id="c"))
    moved = replaced(replaced(fields, "X-Authenticated-User-ID", "a"), "X-Authenticated-Session-ID", "bc")
    with pytest.raises(IdentityRefused):
        verify(moved)


@given(st.text(st.characters(max_codepoint=255), max_size=120))
def test_no_rubbish_passes_as_a_signature(rubbish: str) -> None:
    with pytest.raises(IdentityRefused):
        verify(replaced(signed(), "X-Identity-Signature", rubbish))


def test_keys_rotate_without_a_gap() -> None:
    old, new = f"old:{secrets.token_urlsafe(32)}", f"new:{secrets.token_urlsafe(32)}"
    both = IdentityVerifier("product", {"gateway": Secret(f"{new},{old}")})
    for text_ in (old, f"{old},{new}", new, f"{new},{old}"):
        fields = signed(key=Secret(text_))
        assert both.verify(METHOD, TARGET, Headers(fields), NOW) == ALICE
    only_new = IdentityVerifier("product", {"gateway": Secret(new)})
    with pytest.raises(IdentityRefused):
        only_new.verify(METHOD, TARGET, Headers(signed(key=Secret(old))), NOW)


def test_a_key_without_an_id_is_the_first() -> None:
    encoded = KEY.value.partition(":")[2]
    assert verify(signed(key=Secret(encoded))) == ALICE
    assert verify(signed(key=Secret(encoded + "="))) == ALICE


def test_a_role_cannot_carry_another() -> None:
    with pytest.raises(ValueError, match="character"):
        signed(Principal(user_id="u", roles=frozenset({"user,admin"})))


@pytest.mark.parametrize(
    "text_", ["", "k1:", "k1:c2hvcnQ", "k 1:" + "A" * 43, f"{KEY.value},{KEY.value}", "k1:é"]
)
def test_an_unusable_key_names_its_setting_and_is_not_shown(text_: str) -> None:
    with pytest.raises(ConfigError, match="IDENTITY_KEY_GATEWAY_PRODUCT") as error:
        IdentitySigner("gateway", "product", Secret(text_))
    assert KEY.value not in str(error.value)


def test_the_refusal_tells_the_client_nothing() -> None:
    details = set()
    for fields in (signed(key=OTHER_KEY), [], replaced(signed(), "X-Authenticated-Roles", "admin")):
        with pytest.raises(IdentityRefused) as refused:
            verify(fields)
        details.add((refused.value.detail, refused.value.code))
    assert len(details) == 1
