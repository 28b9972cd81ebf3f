"""Foreign bytes, found by coverage: `tox -e fuzz`."""
