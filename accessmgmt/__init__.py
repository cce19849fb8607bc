"""The just-in-time access application: who may reach which PostgreSQL database, and for how long."""
