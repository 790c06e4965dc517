"""The WebSocket gateway's parts: it holds connections and moves messages, and owns no database.

domain/            what it decides, and the Protocols of what it needs (pure)
service/           what goes on in it
handler/           what comes in: requests to open a socket, what is said on it, events
frames.py          what is said on a socket
clients.py         the chat service over gRPC
presence_store.py  who is in which room, in the store that all gateways share
settings.py        what it can be told

`ws_gateway.py`, at the top of the checkout, puts it together.
"""
