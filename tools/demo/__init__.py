"""Usage replayed through the deployed API, a report of what became of it, and the proof."""
