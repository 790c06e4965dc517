"""Orders, their sagas and articles in PostgreSQL: rows ↔ domain.

orders    what has been ordered, and what has become of it
sagas     what has been done for it, and who works at it
articles  our copies of the catalogue
"""
