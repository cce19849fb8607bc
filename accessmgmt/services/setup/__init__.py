"""What admins describe."""
