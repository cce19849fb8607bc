"""One conversation with a server: sending, deadlines, what a failure means."""
