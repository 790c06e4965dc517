"""What users have ordered, at which price, and what has become of it."""
