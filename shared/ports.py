"""Which processes a system has, and where each listens: fixed offsets from PORT_BASE.

Two systems run side by side by choosing different bases. The n-th instance of a process (honcho calls it
`name.n`) listens 100·(n-1) higher. A service answers gRPC 5 above its own port.
"""

# Every service there may be, this checkout's or one still to come. The rest follows from the name: its folder
# under services/, database, role, secrets, and in gateway.toml ${NAME_URL}.
SERVICES = {
    "auth": 10,
    "product": 20,
    "inventory": 30,
    "order": 40,
    "payment": 50,
    "chat": 60,
}
OFFSETS = {
    "gateway": 0,
    "ws_gateway": 1,
    "gateway_tls": 2,
    "ws_gateway_admin": 8,
    "gateway_admin": 9,
    **SERVICES,
    "postgres": 90,
    "valkey": 91,
    "kafka": 92,
    "kafka_controller": 93,
}
INSTANCE_STEP = 100
RPC_STEP = 5  # a service's gRPC port is so much higher than its HTTP port


def port_of(name: str, base: int, instance: int = 1) -> int:
    """The TCP port of `name`'s n-th instance; KeyError for a name that has no place in the table."""
    return base + OFFSETS[name] + INSTANCE_STEP * (instance - 1)
