"""Real servers for tests, the demo, the smoke run and benchmarks. Nothing here imports Django."""
