from services.auth.domain.passwords import password_fault


def test_passwords_are_judged_by_their_length() -> None:
    assert password_fault("1234567")
    assert password_fault("12345678") is None
    assert password_fault("пароль🔑!") is None
    assert password_fault("x" * 1024) is None
    assert password_fault("x" * 1025)
