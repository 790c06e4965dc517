"""Who may speak to whom. Each pair shares a key of its own: `IDENTITY_KEY_<CALLER>_<CALLEE>`.

So a service that has been broken into can speak to its callees and to nobody else, and in no other's name.
"""

GATEWAY = "gateway"  # the only one that speaks HTTP to services
OPERATOR = "operator"  # ./scripts/rpc, in the hands of whoever may read the secrets; speaks gRPC to all

# Each service that answers gRPC: which others call it.
_RPC_CALLERS = {
    "product": ("order",),
    "inventory": ("order",),
    "order": (),
    "payment": ("order",),
    "chat": ("ws_gateway",),
}


def rpc_callers(service: str) -> tuple[str, ...]:
    """Who may call `service` over gRPC; nobody calls one that has none."""
    return (*_RPC_CALLERS[service], OPERATOR) if service in _RPC_CALLERS else ()


def callers(service: str) -> tuple[str, ...]:
    """Who may call `service` at all."""
    return (GATEWAY, *rpc_callers(service))
