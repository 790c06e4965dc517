"""`./scripts/chat`: talking in a room, from a terminal.

transcript   what one client has seen and what of its own is unanswered, frame by frame (pure)
backoff      how long to wait before connecting again (pure)
session      a user logged in at the gateway: tokens, tickets, calls
rooms        the rooms there are, and their history
input_lines  what is typed, or comes through a pipe
talk         all of it together: connected, connected again, until there is nothing more to say
"""
