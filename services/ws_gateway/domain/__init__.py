"""What the WebSocket gateway decides. Pure: no I/O, no clock, no randomness.

chat      users and messages, and what is needed of the chat service
rooms     the order of a room's messages, and each subscriber's place in it
presence  who is in a room, and what of it is announced
"""
