"""Run by `tox -e company`, which installs the packages that these tests are about."""

from __future__ import annotations

import os

collect_ignore_glob = [] if os.environ.get("OAUTH_SESSION_COMPANY") else ["test_*.py"]
