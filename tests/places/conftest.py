"""Run by `tox -e places`, which installs the packages that these tests are about."""

from __future__ import annotations

import os

collect_ignore_glob = [] if os.environ.get("OAUTH_SESSION_PLACES") else ["test_*.py"]
