"""How root runs a program that refuses root, as PostgreSQL does.

In a new user namespace without a map, root is nobody by name but still owns its files: nothing has to change
hands. Where namespaces are forbidden, the program becomes `nobody` and has to be given its folder.
"""

import ctypes
import os
import pwd
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scripts.support.failures import SetupError

CLONE_NEWUSER = 0x10000000

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Disguise:
    """What a child does before it runs the program, and whose the program's folder has to be."""

    prepare: Callable[[], None] | None
    owner: int


def choose_disguise(programs: Path, data: Path) -> Disguise:
    """How this process can run what lies in `programs` on `data`. SetupError when root has no way to."""
    user = os.geteuid()
    if user != 0:
        return Disguise(None, user)
    if _succeeds(_enter_user_namespace):
        return Disguise(_enter_user_namespace, user)
    nobody = pwd.getpwnam("nobody")
    disguise = Disguise(lambda: _become(nobody.pw_uid, nobody.pw_gid), nobody.pw_uid)
    if not _succeeds(lambda: _reach_as(disguise, programs, data)):
        raise SetupError(
            "PostgreSQL does not run as root, user namespaces are forbidden here, and the user nobody cannot "
            f"reach {programs} and {data}: run this as an ordinary user, or set the DATABASE_URL_… settings"
        )
    return disguise


def give(folder: Path, disguise: Disguise) -> None:
    """Make everything under `folder` belong to the disguised program."""
    if folder.stat().st_uid == disguise.owner:
        return
    for path in (*folder.rglob("*"), folder):  # the folder last: it tells that all is done
        os.chown(path, disguise.owner, -1, follow_symlinks=False)


def _enter_user_namespace() -> None:
    if _libc.unshare(CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare")


def _become(user: int, group: int) -> None:
    os.setgroups([])
    os.setgid(group)
    os.setuid(user)


def _reach_as(disguise: Disguise, programs: Path, data: Path) -> None:
    if disguise.prepare is not None:
        disguise.prepare()
    (programs / "postgres").open("rb").close()
    os.chdir(data.parent)


def _succeeds(attempt: Callable[[], None]) -> bool:
    """Whether `attempt` goes through, tried in a child that ends right away."""
    child = os.fork()
    if child == 0:
        try:
            attempt()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
