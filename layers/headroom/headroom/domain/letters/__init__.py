"""Mail: which event is told to whom, in which words, and what the letter looks like."""
