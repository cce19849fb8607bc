"""Pages of what was done, and of what differs."""
