"""Benchmarks: always beside a peer or a control measured in the same run, for machines are shared and noisy.

gateway         the gateway's full pipeline beside nginx as a plain proxy
logins          other requests with and without logins at full speed
guessing        refused logins of accounts that exist beside those of accounts that do not
websocket       idle sockets, round trips and one room, beside the `websockets` library

machine         processes pinned to cores, free ports
upstream        what the gateway is measured in front of, where nginx is not installed
load            requests per second, by wrk where it is installed, else by a small generator of our own
whole_system    everything, on ports and data of its own, and accounts in it
client          one connection and the clock
flood, probes   as much as possible, and a little at a steady rate
distributions, loop_delays
                what the figures say: pure
websocket_idle, websocket_echo, websocket_room
                its parts
websocket_sides, websocket_stage, websocket_peer
                what is measured: servers to themselves, a whole system, the library
websocket_load, websocket_receiver, websocket_speaker
                many clients in one process, which only count, and who talks to them
table           Markdown
"""
