"""What comes into the WebSocket gateway, decoded.

opening   GET /ws: who may open a socket
visitors  one open socket: its requests, one after the other
feed      events from the bus, for all sockets that they concern
echo      the echo mode
"""
