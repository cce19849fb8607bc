"""Reaching a server: which one, how, as whom, and why it is not reached."""
