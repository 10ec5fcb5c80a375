"""Where a server's socket lies: beside its data, or in a short folder where that path is long."""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from service.errors import RankgresError
from service.local.process import Account
from service.local.system_user import give

#: Bytes of a socket's path that every system takes (Linux 107 and macOS 103, without the final 0).
_LONGEST_PATH = 103


def socket_folder(folder: Path, socket_name: str) -> Path:
    """Return ``folder``/socket, or, where the socket's path would be too long, a short folder.

    The answer is the same at every call, so that the address is known before the server runs.
    """
    near = folder.resolve() / "socket"
    if _fits(near, socket_name):
        return near
    short = f"rankgres-{hashlib.sha256(os.fsencode(near)).hexdigest()[:16]}"
    for parent in (Path(tempfile.gettempdir()), Path("/tmp")):  # noqa: S108  made 0700, owner checked
        if _fits(parent / short, socket_name):
            return parent / short
    raise RankgresError(  # pragma: no cover  /tmp always fits
        f"no folder is short enough for the socket of {folder}",
        mend="choose a shorter RANKGRES_HOME",
    )


def _fits(folder: Path, socket_name: str) -> bool:
    return len(os.fsencode(folder / socket_name)) <= _LONGEST_PATH


def make_socket_folder(path: Path, account: Account | None) -> None:
    """Make the folder so that only the account, and root, can reach the socket in it.

    Raises:
        RankgresError: Somebody else put something there first.
    """
    mine = {0, os.geteuid(), account.uid if account else os.geteuid()}
    if path.is_symlink() or (path.exists() and path.stat().st_uid not in mine):
        raise RankgresError(
            f"{path} belongs to somebody else",
            mend="remove it, or choose a shorter RANKGRES_HOME",
        )
    give(path, account)


def remove_short_folder(path: Path, folder: Path) -> None:
    """Remove a socket folder that lies outside ``folder``; one inside stays, with its data."""
    if not path.is_relative_to(folder.resolve()):
        shutil.rmtree(path, ignore_errors=True)
