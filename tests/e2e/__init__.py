"""Tests that start real processes. A package, as what its tests share lives no longer than it is at work."""
