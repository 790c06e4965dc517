import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.context import Trace
from shared.http.messages import Fields, Headers, Request
from shared.proxy.headers import RequestHeaders, returned, returned_interim

TRACE = Trace("t" * 32, "s" * 16, "p" * 16)
OURS = {
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-request-id",
    "x-request-deadline",
}


def forwarded(
    fields: Fields, *, trusted: bool = False, drops: bool = True, trace: Trace | None = TRACE
) -> Headers:
    request = Request("GET", "/", Headers([("Host", "shop.example"), *fields]), peer="203.0.113.9")
    request.id, request.trace = "the-id", trace
    return Headers(RequestHeaders(drops_authorization=drops).forwarded(request, 30_000, trusted=trusted))


def test_what_we_add() -> None:
    sent = forwarded([])
    assert sent.fields == [
        ("Via", "1.1 plainstack"),
        ("X-Forwarded-For", "203.0.113.9"),
        ("X-Forwarded-Host", "shop.example"),
        ("X-Forwarded-Proto", "http"),
        ("X-Request-ID", "the-id"),
        ("X-Request-Deadline", "30000"),
        ("traceparent", TRACE.traceparent),
    ]


def test_end_to_end_fields_pass_in_order_and_spelling() -> None:
    fields = [("aCCept", "a"), ("X-Custom", "1"), ("x-custom", "2"), ("Cookie", "c"), ("tracestate", "v=1")]
    assert forwarded(fields).fields[:5] == fields


@pytest.mark.parametrize(
    "name",
    [
        "Connection",
        "Keep-Alive",
        "Proxy-Connection",
        "Proxy-Authorization",
        "TE",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
        "Content-Length",
        "Content_Length",
        "TRANSFER_ENCODING",
        "X-Authenticated-User-ID",
        "x-authenticated-anything",
        "X_Authenticated_User_ID",
        "X-Authenticated_Roles",
        "X-Identity-Signature",
        "x_identity_signature",
        "X-Forwarded-Port",
        "X_Forwarded_For",
        "Forwarded",
    ],
)
def test_what_never_passes_from_a_stranger(name: str) -> None:
    assert all(value != "evil" for _, value in forwarded([(name, "evil")]).fields)


@pytest.mark.parametrize("name", ["X-Authenticated-User-ID", "X_Identity_Signature", "X-Request_ID"])
def test_what_a_trusted_proxy_may_not_say_either(name: str) -> None:
    assert all(value != "evil" for _, value in forwarded([(name, "evil")], trusted=True).fields)


def test_fields_that_connection_names_do_not_pass() -> None:
    sent = forwarded(
        [("Connection", "close, X-Hop , x-other"), ("X-Hop", "1"), ("X-OTHER", "2"), ("X-End", "3")]
    )
    assert "x-hop" not in sent
    assert "x-other" not in sent
    assert sent.get("x-end") == "3"


def test_connection_cannot_take_ours_away() -> None:
    names = ", ".join([*OURS, "traceparent"])
    sent = forwarded([("Connection", names)])
    assert all(name in sent for name in OURS | {"traceparent"})


def test_authorization_passes_only_where_we_do_not_check_it() -> None:
    assert "authorization" not in forwarded([("Authorization", "Bearer t")])
    assert forwarded([("Authorization", "Bearer t")], drops=False).get("authorization") == "Bearer t"
    assert "authorization" not in forwarded([("AUTHORIZATION", "Bearer t")])


def test_a_trusted_proxy_is_continued() -> None:
    fields = [
        ("X-Forwarded-For", "198.51.100.1"),
        ("X-Forwarded-Host", "www.example"),
        ("X-Forwarded-Port", "443"),
        ("Via", "1.0 edge"),
    ]
    sent = forwarded(fields, trusted=True)
    assert sent.get("x-forwarded-for") == "198.51.100.1, 203.0.113.9"
    assert sent.get("x-forwarded-host") == "www.example"
    assert sent.get("x-forwarded-port") == "443"
    assert sent.get("via") == "1.0 edge, 1.1 plainstack"


def test_the_state_of_a_trace_that_we_did_not_take_up_is_dropped() -> None:
    assert forwarded([("tracestate", "v=1")]).get("tracestate") == "v=1"
    assert "tracestate" not in forwarded([("tracestate", "v=1")], trace=Trace("t" * 32, "s" * 16))


def test_what_comes_back() -> None:
    headers = Headers(
        [
            ("Content-Length", "3"),
            ("Set-Cookie", "a=1"),
            ("Set-Cookie", "b=2"),
            ("Connection", "x-hop"),
            ("X-Hop", "1"),
            ("Transfer-Encoding", "chunked"),
            ("X-Request-ID", "theirs"),
            ("Via", "1.1 other"),
        ]
    )
    assert returned(headers) == [
        ("Content-Length", "3"),
        ("Set-Cookie", "a=1"),
        ("Set-Cookie", "b=2"),
        ("Via", "1.1 other, 1.1 plainstack"),
    ]


def test_what_comes_back_in_between() -> None:
    fields = [("Link", "</a.css>; rel=preload"), ("Connection", "keep-alive"), ("X-Any", "1")]
    assert returned_interim(fields) == [("Link", "</a.css>; rel=preload"), ("X-Any", "1")]


NAMES = st.one_of(
    st.text(alphabet="abcdefXYZ-_", min_size=1, max_size=12),
    st.sampled_from(["x-authenticated-", "X_Identity_", "Forwarded", "X-Forwarded-"]).flatmap(
        lambda prefix: st.text(alphabet="abcXYZ-_", max_size=5).map(lambda rest: prefix + rest)
    ),
)


@given(st.lists(st.tuples(NAMES, st.just("client's"))), st.booleans())
def test_no_reserved_name_ever_carries_a_clients_value(fields: Fields, drops: bool) -> None:
    for name, value in forwarded(fields, drops=drops).fields:
        plain = name.lower().replace("_", "-")
        if plain.startswith(("x-authenticated-", "x-identity-", "x-forwarded-", "forwarded")):
            assert value != "client's"


def test_the_memory_for_names_is_bounded() -> None:
    rules = RequestHeaders(drops_authorization=True)
    for number in range(5_000):
        request = Request("GET", "/", Headers([(f"X-{number}", "1"), (f"X_Identity_{number}", "evil")]))
        sent = rules.forwarded(request, 1, trusted=False)
        assert (f"X-{number}", "1") in sent
        assert all(value != "evil" for _, value in sent)
    assert len(rules._from_anyone._passes) <= 2_048
