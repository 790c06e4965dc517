"""What goes on in the WebSocket gateway.

rooms     who hears what is said in a room: all of it, in order, once
sessions  sockets end with the sessions that they were opened in
presence  keeps up with who is in which room, on every gateway
"""
