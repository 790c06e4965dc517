"""Putting middleware around a handler."""

from shared.http.messages import Handler, Middleware


def chain(handler: Handler, *middleware: Middleware) -> Handler:
    """`handler` behind `middleware`, given outermost first: it reads in the order a request passes it."""
    for wrap in reversed(middleware):
        handler = wrap(handler)
    return handler
