"""Pictures of the command line, taken in a real terminal: `tox -e pictures`."""
