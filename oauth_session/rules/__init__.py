"""Rules: what the standards and this package decide, without I/O, clocks or threads."""
