"""WebSockets (RFC 6455): what begins as a request of our HTTP server and then speaks in messages, both ways.

handshake   from the request to the answer that switches protocols, or to a clear refusal (pure)
deflate     compressed messages, with a bound on what they become (RFC 7692, pure)
encoding    a message as the frame that all its receivers get, made once (pure)
pace        how many frames a peer may send in a second (pure)
connection  one socket: whole messages in, frames out, both ways of closing
hub         all sockets of a process: found by what they belong to, pinged, counted

The frames themselves are read and written by wsproto.
"""
