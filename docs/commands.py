"""The command line, as an object that sphinx-click can look at."""

from oauth_session.cli import command_line

oauth_session = command_line()
