"""The catalogue: what there is to buy, and at what price."""
