"""A deterministic simulator of the refresh protocol: the real generator, a model of everything around it."""
