"""Makes grants real, and proves it."""
