"""Compares a server with what the portal gave there, and keeps it in order."""
