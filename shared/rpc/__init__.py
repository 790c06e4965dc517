"""Calls between services: gRPC with what every call of ours needs, and nothing that a stub cannot show.

statuses     our errors as gRPC statuses and back, in one table (pure)
metadata     what every call carries: who asks, under which id and trace (pure)
targets      addresses as gRPC's resolvers want them (pure)
decoding     fields to typed values (pure)
values       money and moments, as messages have them (pure)
backoff      whether and when a failed call is tried again (pure)
interceptor  what every call passes before it reaches a service, and after
server       the server beside a service's HTTP server: health, reflection, drain
channel      the way to one other service: deadlines, signatures, retries
"""
