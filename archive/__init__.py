"""What was done: journal, frames, catalogue."""
