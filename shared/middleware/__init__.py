"""One concern a file; each wraps a handler (`shared.http.chain` puts them in order, outermost first).

request_id      who this request is in logs and traces; the client's address behind trusted proxies
client_address  the pure part of that: whose X-Forwarded-For is believed
access_log      one JSON line and the metrics of every request
errors          failures become application/problem+json
body_limit      413 for what is too long, whether announced or not
buffer_body     small bodies from strangers are read before the upstream is asked (gateway)
authenticate    a bearer token becomes a principal (gateway)
authorize       roles a route asks for (gateway)
identity        signed identity headers become a principal (services)
"""
