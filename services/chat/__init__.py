"""Talk: rooms, who belongs to them, and what has been said there, numbered without gaps."""
