"""Takes grants away, and proves that nothing is left."""
