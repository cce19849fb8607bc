"""What is known of servers, and what is done about it."""
