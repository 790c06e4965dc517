"""HTTP/1.1 by hand (RFC 9110, RFC 9112).

messages    what handlers see: Request, Response, Headers
head        the wire format of message heads: the strict fast path, and h11 as the authority behind it
body        message bodies: framing by length or by chunks, read with back-pressure
stream      one TCP connection with a linear, awaitable face
server      accepts connections, bounds and drains them
connection  one client's connection, from request to answer
answer      how a response goes on the wire
pool        connections to one origin, kept for reuse
client      sends requests through a pool
timeouts    how patient it is
routing     a table of methods and path patterns
chain       middleware around a handler
decoding    paths, JSON bodies and queries to typed values, every bad field named
forms       form-encoded bodies, each parameter once
paging      lists in pages, with a cursor from one to the next
conditional ETag, If-Match, If-None-Match for resources that count their versions
money       amounts in bodies
statuses    the reason phrases
challenges  WWW-Authenticate: what a 401 asks for
problems    errors as application/problem+json (RFC 9457)
operations  /healthz, /readyz, /metrics
"""
