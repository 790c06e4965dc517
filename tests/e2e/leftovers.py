"""Whether anything of a system still runs."""

import os
from pathlib import Path

from scripts.support.records import parent_of
from tests.e2e.system import LEAVE_SECONDS, System
from tests.waiting import until


def own_processes(system: System) -> set[int]:
    """Every process that carries this system's home in its environment or belongs to one that does."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"PLAINSTACK_HOME={system.home}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.add(int(folder.name))
        except OSError:
            continue
    return {pid for pid in found if parent_of(pid) and pid != os.getpid() and not _is_zombie(pid)}


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def assert_all_have_left(system: System) -> None:
    """Or do so in a moment: a child may outlive its parent by one."""
    until(lambda: not own_processes(system), LEAVE_SECONDS, "all have left")
