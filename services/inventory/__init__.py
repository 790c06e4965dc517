"""What is in stock, and what of it is promised to whom."""
