"""What holds of rooms and messages, whoever keeps them. Pure: no I/O, no clock, no randomness.

rooms     rooms, who belongs to them, and who may do what there
messages  what is said in a room, and what can happen to it
"""
