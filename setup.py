"""Everything is in setup.cfg, but for this: what is built is the same bytes, wherever, whenever and by whomever.

Where ``SOURCE_DATE_EPOCH`` is set, setuptools puts it into a wheel, but with the modes that the umask gives; into an sdist
it writes times, users and modes as they come.
"""

from __future__ import annotations

import gzip
import os
import tarfile
import time
from pathlib import Path
from typing import Any

from setuptools import setup
from setuptools.command.sdist import sdist


class PlainSdist(sdist):
    """An sdist in which only names and contents tell two files apart."""

    def make_archive(self, base_name: str, format: str, *args: Any, base_dir: str, **more: Any) -> str:
        if format != "gztar":
            return super().make_archive(base_name, format, *args, base_dir=base_dir, **more)
        epoch = int(os.environ.get("SOURCE_DATE_EPOCH", time.time()))

        def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
            member.mtime, member.uid, member.gid, member.uname, member.gname = epoch, 0, 0, "", ""
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            return member

        path = Path(f"{base_name}.tar.gz")
        with (
            path.open("wb") as file,
            gzip.GzipFile("", "wb", fileobj=file, mtime=epoch) as zipped,
            tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as archive,
        ):
            archive.add(base_dir, filter=plain)  # sorted by name
        return str(path)


os.umask(0o022)
setup(cmdclass={"sdist": PlainSdist})
