"""Forms of what admins describe."""
