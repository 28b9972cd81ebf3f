"""Run by `tox -e docs`: the tutorial installs the package, as a newcomer would."""

from __future__ import annotations

import os

collect_ignore_glob = [] if os.environ.get("OAUTH_SESSION_DOCS") else ["test_*.py"]
