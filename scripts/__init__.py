"""The project's commands, one verb a file; their Python stands in `scripts.support`."""
