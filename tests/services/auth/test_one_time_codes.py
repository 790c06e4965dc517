"""Codes against RFC 6238's own figures and against another reading of it; secrets that are kept well."""

import base64
import os
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import uuid4

import pytest

from services.auth.domain.second_factor import Enrolment, NewSecret, is_recovery_code, tidy_code
from services.auth.one_time_codes import SealedOneTimeCodes, code_at, matching_step, step_at
from services.auth.sealing import CannotUnseal, unseal
from shared.errors import Unavailable

KEY = os.urandom(32)
ALICE = uuid4()
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)  # the beginning of a step
RFC_SECRET = b"12345678901234567890"


@pytest.fixture
def codes() -> SealedOneTimeCodes:
    return SealedOneTimeCodes(KEY, "The Shop")


@pytest.fixture
def new(codes: SealedOneTimeCodes) -> NewSecret:
    return codes.new_secret(ALICE, "alice@example.com")


def enrolled(new: NewSecret) -> Enrolment:
    return Enrolment(ALICE, new.sealed, is_confirmed=True)


def code_of(new: NewSecret, moment: datetime) -> str:
    return code_at(base64.b32decode(new.secret), step_at(moment))


@pytest.mark.parametrize(
    ("moment", "code"),
    [
        ("1970-01-01 00:00:59", "94287082"),
        ("2005-03-18 01:58:29", "07081804"),
        ("2005-03-18 01:58:31", "14050471"),
        ("2009-02-13 23:31:30", "89005924"),
        ("2033-05-18 03:33:20", "69279037"),
        ("2603-10-11 11:33:20", "65353130"),
    ],
)
def test_the_vectors_of_rfc_6238_appendix_b(moment: str, code: str) -> None:
    step = step_at(datetime.fromisoformat(moment).replace(tzinfo=UTC))
    assert code_at(RFC_SECRET, step, digits=8) == code
    assert code_at(RFC_SECRET, step) == code[2:]  # the last six digits of the same number


def test_a_code_is_good_one_step_early_and_one_late(codes: SealedOneTimeCodes, new: NewSecret) -> None:
    code, step = code_of(new, NOON), step_at(NOON)
    before, after = timedelta(seconds=30), timedelta(seconds=59)
    for now in (NOON - before, NOON, NOON + after):
        assert codes.step_of(enrolled(new), code, now) == step
    for now in (NOON - before - timedelta(seconds=1), NOON + after + timedelta(seconds=1)):
        assert codes.step_of(enrolled(new), code, now) is None


def test_of_two_steps_with_the_same_code_the_later_counts() -> None:
    """Else the code could be used a second time, for the later one."""
    first, second = 59_061_240, 59_061_241
    assert code_at(RFC_SECRET, first) == code_at(RFC_SECRET, second) == "963181"
    for step in (first, second):
        assert matching_step(RFC_SECRET, "963181", datetime.fromtimestamp(step * 30, UTC)) == second


@pytest.mark.parametrize("code", ["", "12345", "1234567", "abcdef", "\uff11" * 6, "\ud800", "x" * 100_000])
def test_rubbish_is_no_code(codes: SealedOneTimeCodes, new: NewSecret, code: str) -> None:
    assert codes.step_of(enrolled(new), code, NOON) is None


def test_a_secret_is_160_random_bits_as_apps_take_them(codes: SealedOneTimeCodes, new: NewSecret) -> None:
    assert len(base64.b32decode(new.secret)) == 20
    assert codes.new_secret(ALICE, "alice@example.com").secret != new.secret
    uri = urlsplit(new.otpauth_uri)
    assert (uri.scheme, uri.netloc, unquote(uri.path)) == ("otpauth", "totp", "/The Shop:alice@example.com")
    assert parse_qs(uri.query) == {"secret": [new.secret], "issuer": ["The Shop"]}
    assert "+" not in new.otpauth_uri  # some apps show it as it stands


def test_a_secret_is_sealed_for_its_account_under_a_key_of_its_own(
    codes: SealedOneTimeCodes, new: NewSecret
) -> None:
    assert base64.b32decode(new.secret) not in new.sealed
    with pytest.raises(CannotUnseal):
        unseal(KEY, new.sealed, ALICE.bytes)
    for codes_, enrolment in (
        (codes, Enrolment(uuid4(), new.sealed, is_confirmed=True)),
        (SealedOneTimeCodes(os.urandom(32), "The Shop"), enrolled(new)),
    ):
        with pytest.raises(Unavailable):
            codes_.step_of(enrolment, code_of(new, NOON), NOON)


def test_a_new_secret_does_not_show_itself(new: NewSecret) -> None:
    assert new.secret not in repr(new)


def test_recovery_codes_are_ten_of_80_bits_in_groups(codes: SealedOneTimeCodes) -> None:
    made = codes.new_recovery_codes()
    assert len(set(made)) == 10
    assert all([len(group) for group in code.split("-")] == [4, 4, 4, 4] for code in made)
    assert all(is_recovery_code(tidy_code(code)) for code in made)
