"""A server and a channel, joined over a real socket."""

import asyncio
import json
import logging
import time
from contextlib import suppress

import pytest
from grpc import Compression, StatusCode, aio
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse
from shop.product.v1.product_pb2 import GetProductsRequest, GetProductsResponse, Product
from shop.product.v1.product_pb2_grpc import ProductServiceStub

from scripts.support.free_ports import free_port_base
from shared import context
from shared.auth.identity import IdentitySigner, IdentityVerifier
from shared.config import ConfigError, Secret
from shared.context import ANONYMOUS, Principal, Trace
from shared.errors import Conflict, DeadlineExceeded, FieldError, Invalid, Unavailable
from shared.observability.logs import lines
from shared.observability.metrics import exposition
from shared.rpc.channel import Channel
from shared.rpc.metadata import call_metadata
from shared.rpc.server import RpcServer, serve_rpc
from shared.runtime import Readiness
from tests.shared.rpc.conftest import KEY, PATH, Callee, for_ever, get_products
from tests.waiting import eventually

ALICE = Principal("alice", "session", "token", 2_000_000_000, frozenset({"customer"}), "203.0.113.9")
OTHER_KEY = Secret("k1:" + "A" * 43)
TRACE = Trace("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines written for calls."""
    written: list[str] = []
    monkeypatch.setattr(lines, "write", written.append)
    return written


async def test_what_is_asked_is_answered(channel: Channel, callee: Callee) -> None:
    async def find(request: GetProductsRequest) -> GetProductsResponse:
        return GetProductsResponse(products=[Product(product_id=each) for each in request.product_ids])

    callee.behaviour = find
    answer = await get_products(channel, "a", "b")
    assert [each.product_id for each in answer.products] == ["a", "b"]


async def test_who_asks_under_which_id_and_trace_until_when_travels_along(
    channel: Channel, callee: Callee, log: list[str]
) -> None:
    context.principal.set(ALICE)
    context.request_id.set("req-7")
    context.trace.set(TRACE)
    await get_products(channel, seconds=5.0)
    (seen,) = callee.seen
    assert (seen.principal, seen.request_id, seen.trace_id) == (ALICE, "req-7", TRACE.trace_id)
    assert seen.deadline is not None
    assert 0 < seen.deadline - time.monotonic() <= 5.5  # gRPC rounds it up
    (line,) = map(json.loads, log)
    assert (line["rpc"], line["status"], line["caller"]) == (PATH, "OK", "order")
    assert (line["user_id"], line["request_id"], line["trace_id"]) == ("alice", "req-7", TRACE.trace_id)
    assert line["span_id"] != TRACE.span_id


async def test_without_a_request_a_call_speaks_for_nobody(channel: Channel, callee: Callee) -> None:
    await get_products(channel)
    (seen,) = callee.seen
    assert seen.principal == ANONYMOUS
    assert seen.request_id


async def refusal(stranger: aio.Channel, metadata: aio.Metadata | tuple[tuple[str, str], ...]) -> StatusCode:
    with pytest.raises(aio.AioRpcError) as refused:
        await ProductServiceStub(stranger).GetProducts(GetProductsRequest(), metadata=metadata, timeout=10)
    assert "signature" not in (refused.value.details() or "")
    return refused.value.code()


async def test_nobody_is_answered_who_is_not_known(
    stranger: aio.Channel, callee: Callee, log: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    now_ms = time.time_ns() // 1_000_000

    def signed(caller: str, key: Secret, path: str = PATH, at: int = now_ms, to: str = "product") -> object:
        return call_metadata(IdentitySigner(caller, to, key), path, "req-1", TRACE, ALICE, at)

    forged = (("x-authenticated-user-id", "alice"), ("x-authenticated-roles", "admin"))
    good = signed("order", KEY)
    for metadata in (
        (),
        forged,
        signed("order", OTHER_KEY),
        signed("gateway", KEY),
        signed("order", KEY, to="payment"),
        signed("order", KEY, path=PATH.replace("GetProducts", "Other")),
        signed("order", KEY, at=now_ms - 31_000),
        (*good, ("x-authenticated-roles", "admin")),  # type: ignore[misc]
        (*good, good[0]),  # type: ignore[misc, index]
    ):
        assert await refusal(stranger, metadata) is StatusCode.UNAUTHENTICATED  # type: ignore[arg-type]
    assert callee.seen == []
    assert {json.loads(line)["status"] for line in log} == {"UNAUTHENTICATED"}
    assert caplog.text.count("identity refused") == 9


async def test_nothing_of_a_strangers_message_is_read(stranger: aio.Channel, callee: Callee) -> None:
    for rubbish in (b"\xff" * 100, b"\x0a\x00" * 1_000_000):
        call = stranger.unary_unary(PATH, bytes, GetProductsResponse.FromString)
        with pytest.raises(aio.AioRpcError) as refused:
            await call(rubbish, timeout=10, compression=Compression.Gzip)
        assert refused.value.code() in (StatusCode.UNAUTHENTICATED, StatusCode.UNIMPLEMENTED)
    assert callee.seen == []


async def test_a_stranger_who_never_sends_a_message_is_turned_away(stranger: aio.Channel) -> None:
    call = stranger.stream_stream(PATH, bytes, bytes)()
    with pytest.raises(aio.AioRpcError) as refused:
        await asyncio.wait_for(call.read(), 10)
    assert refused.value.code() is StatusCode.UNAUTHENTICATED


async def test_a_message_longer_than_any_of_ours_is_refused(channel: Channel, callee: Callee) -> None:
    with pytest.raises(Unavailable):
        await get_products(channel, "x" * 200_000)
    assert callee.seen == []


async def test_nobody_watches_for_ever(stranger: aio.Channel) -> None:
    watch = stranger.unary_stream("/grpc.health.v1.Health/Watch", bytes, bytes)(b"")
    with pytest.raises(aio.AioRpcError) as refused:
        await asyncio.wait_for(watch.read(), 10)
    assert refused.value.code() is StatusCode.UNIMPLEMENTED


async def test_a_refused_signature_is_our_own_trouble(server: RpcServer) -> None:
    async with Channel("order", "product", [f"127.0.0.1:{server.port}"], OTHER_KEY) as channel:
        with pytest.raises(Unavailable):
            await get_products(channel)


async def test_errors_of_the_callee_come_back(channel: Channel, callee: Callee) -> None:
    async def refuse(_: GetProductsRequest) -> GetProductsResponse:
        raise Invalid("Some fields.", (FieldError("product_ids[0]", "Must be a UUID"),))

    callee.behaviour = refuse
    with pytest.raises(Invalid) as refused:
        await get_products(channel)
    assert refused.value.fields == (FieldError("product_ids[0]", "Must be a UUID"),)
    assert len(callee.seen) == 1


async def test_a_bug_in_the_callee_is_told_to_nobody(
    channel: Channel, callee: Callee, caplog: pytest.LogCaptureFixture
) -> None:
    async def crash(_: GetProductsRequest) -> GetProductsResponse:
        raise ZeroDivisionError("a secret of ours")

    callee.behaviour = crash
    with pytest.raises(Unavailable) as failed:
        await get_products(channel)
    assert "secret" not in str(failed.value.__cause__)
    assert "a secret of ours" in caplog.text
    assert len(callee.seen) == 1


async def test_a_callee_that_is_away_for_a_moment_is_asked_again(channel: Channel, callee: Callee) -> None:
    async def hiccup(_: GetProductsRequest) -> GetProductsResponse:
        if len(callee.seen) < 3:
            raise Unavailable("Not now.")
        return GetProductsResponse()

    callee.behaviour = hiccup
    await get_products(channel)
    assert len(callee.seen) == 3


async def test_a_callee_that_stays_away_is_given_up(channel: Channel, callee: Callee) -> None:
    async def away(_: GetProductsRequest) -> GetProductsResponse:
        raise Unavailable("Not now.")

    callee.behaviour = away
    with pytest.raises(Unavailable):
        await get_products(channel)
    assert len(callee.seen) == 3


async def test_a_callee_that_says_no_is_not_asked_again(channel: Channel, callee: Callee) -> None:
    async def refuse(_: GetProductsRequest) -> GetProductsResponse:
        raise Conflict("No.")

    callee.behaviour = refuse
    with pytest.raises(Conflict):
        await get_products(channel)
    assert len(callee.seen) == 1


async def test_our_own_patience_ends_as_unavailable(channel: Channel, callee: Callee) -> None:
    callee.behaviour = for_ever
    with pytest.raises(Unavailable):
        await get_products(channel, seconds=0.3)
    assert len(callee.seen) == 1


async def test_the_callers_time_ends_as_deadline_exceeded(channel: Channel, callee: Callee) -> None:
    callee.behaviour = for_ever
    context.deadline.set(time.monotonic() + 0.3)
    with pytest.raises(DeadlineExceeded):
        await get_products(channel, seconds=60.0)
    asked = len(callee.seen)
    with pytest.raises(DeadlineExceeded):
        await get_products(channel, seconds=60.0)
    assert len(callee.seen) == asked


async def test_nobody_there_is_unavailable_until_somebody_is(callee: Callee, readiness: Readiness) -> None:
    port = free_port_base()
    async with Channel("order", "product", [f"127.0.0.1:{port}"], KEY) as channel:
        with pytest.raises(Unavailable):
            await get_products(channel)
        verifier = IdentityVerifier("product", {"order": KEY})
        async with serve_rpc("product", [callee.service()], ("127.0.0.1", port), verifier, readiness):

            async def is_answered() -> bool:
                with suppress(Unavailable):
                    await get_products(channel)
                    return True
                return False

            await eventually(is_answered)


async def test_several_addresses_share_the_calls(callee: Callee, readiness: Readiness) -> None:
    other = Callee()
    verifier = IdentityVerifier("product", {"order": KEY})
    anywhere = ("127.0.0.1", 0)
    async with (
        serve_rpc("product", [callee.service()], anywhere, verifier, readiness) as first,
        serve_rpc("product", [other.service()], anywhere, verifier, readiness) as second,
    ):
        addresses = [f"127.0.0.1:{server.port}" for server in (first, second)]
        async with Channel("order", "product", addresses, KEY) as channel:

            async def both_were_asked() -> bool:
                await get_products(channel)
                return bool(callee.seen and other.seen)

            await eventually(both_were_asked)


async def test_a_second_server_on_a_port_is_refused(
    server: RpcServer, callee: Callee, readiness: Readiness
) -> None:
    verifier = IdentityVerifier("product", {"order": KEY})
    taken = ("127.0.0.1", server.port)
    with pytest.raises(ConfigError, match=str(server.port)):
        async with serve_rpc("product", [callee.service()], taken, verifier, readiness):
            pass


async def test_what_is_in_flight_is_finished_when_the_server_leaves(
    channel: Channel, callee: Callee, server: RpcServer
) -> None:
    may_go_on = asyncio.Event()

    async def slow(_: GetProductsRequest) -> GetProductsResponse:
        await may_go_on.wait()
        return GetProductsResponse(products=[Product(name="the end")])

    callee.behaviour = slow
    asked = asyncio.create_task(get_products(channel))
    await eventually(lambda: callee.seen)
    stopped = server.stop_accepting()
    async with Channel("order", "product", [f"127.0.0.1:{server.port}"], KEY) as late:
        with pytest.raises(Unavailable):
            await get_products(late)
    may_go_on.set()
    assert (await asked).products[0].name == "the end"
    await stopped


async def test_health_is_for_anybody_and_tells_of_readiness(
    stranger: aio.Channel, readiness: Readiness
) -> None:
    check = stranger.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=HealthCheckRequest.SerializeToString,
        response_deserializer=HealthCheckResponse.FromString,
    )

    async def says(status: int, name: str = "") -> bool:
        answer = await check(HealthCheckRequest(service=name), timeout=10)
        return bool(answer.status == status)

    await eventually(lambda: says(HealthCheckResponse.SERVING))
    assert await says(HealthCheckResponse.SERVING, "shop.product.v1.ProductService")

    async def refused() -> None:
        raise ConnectionRefusedError("nobody listens")

    readiness.require("database", refused)
    await eventually(lambda: says(HealthCheckResponse.NOT_SERVING))


async def contracts(stranger: aio.Channel) -> set[str]:
    """What reflection shows to anybody."""
    ask = stranger.stream_stream(
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        request_serializer=ServerReflectionRequest.SerializeToString,
        response_deserializer=ServerReflectionResponse.FromString,
    )
    answers = ask(iter([ServerReflectionRequest(list_services="")]), timeout=10)
    return {each.name async for answer in answers for each in answer.list_services_response.service}


async def test_reflection_shows_the_contracts_where_it_is_on(stranger: aio.Channel) -> None:
    assert "shop.product.v1.ProductService" in await contracts(stranger)


async def test_reflection_is_off_by_default(callee: Callee, readiness: Readiness) -> None:
    verifier = IdentityVerifier("product", {"order": KEY})
    async with (
        serve_rpc("product", [callee.service()], ("127.0.0.1", 0), verifier, readiness) as server,
        aio.insecure_channel(f"127.0.0.1:{server.port}") as stranger,
    ):
        with pytest.raises(aio.AioRpcError) as refused:
            await contracts(stranger)
        assert refused.value.code() is StatusCode.UNIMPLEMENTED


async def test_calls_are_counted_on_both_sides(channel: Channel) -> None:
    await get_products(channel)
    said = exposition().decode()
    labels = f'{{method="{PATH}",status="OK"}}'
    assert f"rpc_server_duration_seconds_count{labels}" in said
    assert f"rpc_client_duration_seconds_count{labels}" in said


async def test_trouble_with_a_callee_is_logged_once(
    channel: Channel, callee: Callee, caplog: pytest.LogCaptureFixture
) -> None:
    async def away(_: GetProductsRequest) -> GetProductsResponse:
        raise Unavailable("Not now.")

    caplog.set_level(logging.WARNING)
    callee.behaviour = away
    for _ in range(3):
        with pytest.raises(Unavailable):
            await get_products(channel)
    assert caplog.text.count("product cannot be called") == 1
