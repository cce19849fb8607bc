"""Reads for pages, already filtered by what the viewer may see."""
