"""SQL as data: every statement that is sent to a target, and every one that a person is told to run."""
