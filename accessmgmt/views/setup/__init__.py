"""Pages of what admins describe."""
