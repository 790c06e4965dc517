"""Benchmarks: always a ratio to a peer measured in the same run, for machines are shared and noisy.

gateway    the gateway's full pipeline beside nginx as a plain proxy
machine    processes pinned to cores, free ports
load       requests per second, by wrk where it is installed, else by a small generator of our own
"""
