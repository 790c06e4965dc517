"""What can be done with rooms and messages.

rooms     making rooms, finding them, and saying who belongs to them
messages  saying something, reading what was said, taking it back
"""
