"""Whom the embedded Postgres runs as: it refuses to be root, so root lends it a user of its own."""

import logging
import os
import pwd
import shutil
import stat
import subprocess
import time
from pathlib import Path

from service.errors import DatabaseUnavailableError
from service.local.process import Account

_logger = logging.getLogger(__name__)

#: Made by root on first use; it owns the data folder and nothing else.
USER_NAME = "rankgres"


def postgres_account(data: Path) -> Account | None:
    """Return whom Postgres must run as, or None for whoever we are.

    Root runs an existing data folder as its owner, so that the owner can go on using it.

    Raises:
        DatabaseUnavailableError: The data folder is another user's, or root cannot make a user.
    """
    owner = data.stat().st_uid if data.exists() else None
    if os.geteuid() != 0:
        if owner not in (None, os.geteuid()):
            raise DatabaseUnavailableError(
                f"{data} belongs to user id {owner}, not to you",
                field="RANKGRES_HOME",
                mend="run as that user, or choose another folder with RANKGRES_HOME",
            )
        return None
    entry = pwd.getpwuid(owner) if owner else _ensure_user()
    return Account(entry.pw_uid, entry.pw_gid, entry.pw_name)


def _ensure_user() -> pwd.struct_passwd:
    useradd = shutil.which("useradd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    deadline = time.monotonic() + 10
    while True:
        try:
            return pwd.getpwnam(USER_NAME)
        except KeyError:
            said = _make_user(useradd) if useradd else "there is no useradd"
        # Somebody else may be writing /etc/passwd, perhaps adding this very user.
        if said and (useradd is None or time.monotonic() > deadline):
            raise DatabaseUnavailableError(
                f"Postgres refuses to run as root, and the user {USER_NAME!r} cannot be made: "
                f"{said}",
                mend=f"add a system user named {USER_NAME!r}, or run as an ordinary user",
            )
        time.sleep(0.05)


def _make_user(useradd: str) -> str:
    """Add the user; return nothing, or what useradd said."""
    command = [useradd, "--system", "--user-group", "--no-create-home", "--shell", "/bin/false"]
    done = subprocess.run([*command, USER_NAME], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        _logger.info("added the system user %s", USER_NAME)
        return ""
    return done.stderr.strip() or f"useradd ended with {done.returncode}"


def let_through(path: Path) -> list[Path]:
    """Let every user pass through the folders above ``path``, without letting them list any.

    Only folders that lack the permission are changed; each is logged and returned.
    """
    changed = []
    for folder in path.resolve().parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)
            _logger.warning("let other users pass through %s, for Postgres (chmod o+x)", folder)
            changed.append(folder)
    return changed


def give(path: Path, account: Account | None) -> None:
    """Make the folder, if needed, the account's own and closed to everybody else."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if account:
        os.chown(path, account.uid, account.gid)
    path.chmod(0o700)
