"""Side by side with the peers, on one machine, in one run: `tox -e bench`."""
