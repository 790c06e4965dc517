import pytest

from shared.callers import GATEWAY, OPERATOR, callers, rpc_callers
from shared.ports import OFFSETS, SERVICES


def test_who_calls_whom_over_grpc() -> None:
    assert {name: set(rpc_callers(name)) - {OPERATOR} for name in SERVICES if rpc_callers(name)} == {
        "product": {"order"},
        "inventory": {"order"},
        "order": set(),
        "payment": {"order"},
        "chat": {"ws_gateway"},
    }


def test_nobody_calls_one_that_answers_no_grpc() -> None:
    assert rpc_callers("auth") == ()
    assert callers("auth") == (GATEWAY,)


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_the_gateway_may_call_every_service(service: str) -> None:
    assert callers(service) == (GATEWAY, *rpc_callers(service))


@pytest.mark.parametrize("service", sorted(name for name in SERVICES if rpc_callers(name)))
def test_so_may_the_operator_whatever_answers_grpc(service: str) -> None:
    assert OPERATOR in rpc_callers(service)


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_each_caller_is_a_process_of_ours_and_named_once(service: str) -> None:
    names = callers(service)
    assert len(set(names)) == len(names)
    assert set(names) <= {GATEWAY, OPERATOR, *SERVICES, *OFFSETS}
    assert service not in names
