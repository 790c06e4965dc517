import pytest

from services.auth.common_passwords import common_passwords
from services.auth.domain.passwords import PasswordPolicy

POLICY = PasswordPolicy(common_passwords())


@pytest.mark.parametrize(
    "password", ["password", "12345678", "qwertyuiop", "iloveyou", "Trustno1", "BASEBALL"]
)
def test_what_everybody_chooses_is_in_the_list(password: str) -> None:
    assert "most common" in (POLICY.fault(password) or "")


def test_what_nobody_chooses_is_not() -> None:
    assert POLICY.fault("correct horse battery staple") is None


def test_the_list_is_long_and_holds_nothing_that_is_too_short_anyway() -> None:
    assert len(common_passwords()) > 10_000
    assert min(map(len, common_passwords())) == 8
