"""What GET /routes on the admin port tells: the configuration in force and how the targets are doing."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from shared.proxy.routes import GatewayRoute
from shared.proxy.upstreams import Target, Upstream


def overview(routes: Iterable[GatewayRoute], upstreams: Iterable[Upstream], now: float) -> dict[str, Any]:
    """A JSON document. `now` is on the clock that the upstreams are asked with."""
    return {
        "routes": [_route(route) for route in routes],
        "upstreams": {each.name: [_target(target, now) for target in each.targets] for each in upstreams},
    }


def _route(route: GatewayRoute) -> dict[str, Any]:
    sets = {"methods": sorted(route.methods), "roles": sorted(route.roles)}
    return {**asdict(route), **sets}


def _target(target: Target, now: float) -> dict[str, Any]:
    return {
        "origin": target.origin,
        "in_flight": target.in_flight,
        "ejected_for_seconds": round(max(0.0, target.ejected_until - now), 3),
    }
