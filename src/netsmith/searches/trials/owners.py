"""Which process holds a trial, and whether it is known to be gone: then nobody waits for its heartbeat to stop."""

from __future__ import annotations

import os
from pathlib import Path

Owner = dict[str, str]


def this_process() -> Owner:
    """This process, told apart from all others since the machine started; empty where there is no Linux ``/proc``."""
    try:
        return {**_here(), "pid": str(os.getpid()), "started": _started("self")}
    except OSError:
        return {}


def is_gone(owner: Owner) -> bool:
    """True: it ran on this machine and has ended. False says nothing: it may be on another machine."""
    try:
        here = _here()
    except OSError:
        return False
    if not owner or any(owner.get(name) != value for name, value in here.items()):
        return False
    pid = owner.get("pid", "")
    if not pid.isdecimal():
        return False
    try:
        return _started(pid) != owner.get("started")  # the number may have been given to another
    except FileNotFoundError:
        return True


def _here() -> Owner:
    """The running kernel and, as containers number processes anew, the space of process numbers."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return {"boot": boot, "processes": str(Path("/proc/self/ns/pid").readlink())}


def _started(pid: str) -> str:
    """Clock ticks from boot to its start. The second field, its name, may hold spaces and brackets."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
