"""Programs that the benchmark runs, each in a process of its own."""
