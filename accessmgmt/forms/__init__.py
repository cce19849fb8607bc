"""HTML forms: they check input and call one service."""
