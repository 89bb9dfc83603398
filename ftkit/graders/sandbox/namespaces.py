"""Linux system calls of the sandbox: a root file system of its own, no privileges, no orphaned processes.

``program.py`` imports this file inside the sandbox, where no other part of ftkit can be imported.
"""

import contextlib
import ctypes
import os
import signal
import struct
from collections.abc import Sequence

__all__ = ["become_subreaper", "children", "drop_privileges", "end_with_parent", "is_dead", "replace_root"]

_NOSUID, _NODEV, _BIND, _REC, _PRIVATE = 2, 4, 4096, 16384, 1 << 18  # mount(2)
_ATTR_RDONLY, _ATTR_NOSUID, _AT_RECURSIVE, _AT_FDCWD = 1, 2, 0x8000, -100  # mount_setattr(2), Linux 5.12
_DETACH = 2  # umount2(2)
_SET_DEATH_SIGNAL, _SET_DUMPABLE, _DROP_CAPABILITY, _SET_SUBREAPER, _NO_NEW_PRIVILEGES = 1, 4, 24, 36, 38  # prctl(2)
_MOUNT_SETATTR = 442
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "ppc64le": 203, "s390x": 217}
_CAPSET = {"x86_64": 126, "aarch64": 91, "riscv64": 91, "ppc64le": 184, "s390x": 185}
_CAPABILITY_VERSION_3 = 0x20080522

_TMP = "/tmp"  # noqa: S108 - of the sandbox, which has it alone

_libc = ctypes.CDLL(None, use_errno=True)


def replace_root(paths: Sequence[str], disk_bytes: int) -> None:
    """Replace the root file system by ``paths`` (read-only), a few devices and an empty /tmp.

    Nothing of the old root can be reached afterwards: neither files nor sockets nor /proc.

    Args:
        paths: files and folders to keep.
        disk_bytes: size of /tmp in bytes.
    """
    root = "/proc"  # exists, and holds nothing that is bound below
    _mount(None, "/", None, _REC | _PRIVATE)
    links = {path: os.readlink(path) for path in ("/lib", "/lib64") if os.path.islink(path)}
    _mount("tmpfs", root, "tmpfs", _NOSUID | _NODEV, "size=4m,mode=755")
    os.makedirs(root + _TMP)
    # Mounted before the paths, because some of them may lie in /tmp, such as a virtual environment.
    _mount("tmpfs", root + _TMP, "tmpfs", _NOSUID | _NODEV, f"size={disk_bytes},nr_inodes=65536,mode=1777")
    for path in paths:
        _bind(path, root + path, read_only=True)
    for path, to in links.items():
        if not os.path.lexists(root + path):
            os.symlink(to, root + path)
    for name in ("null", "zero", "random", "urandom"):
        _bind(f"/dev/{name}", f"{root}/dev/{name}", read_only=False)
    os.chdir(root)
    _call("pivot_root", _libc.syscall(_number(_PIVOT_ROOT), b".", b"."))
    _call("umount", _libc.umount2(b".", _DETACH))
    os.chdir(_TMP)
    _read_only("/", recursive=False)


def become_subreaper() -> None:
    """Adopt orphaned processes, and let no other process inspect this one."""
    _libc.prctl(_SET_SUBREAPER, 1, 0, 0, 0)
    _libc.prctl(_SET_DUMPABLE, 0, 0, 0, 0)


def end_with_parent() -> None:
    """Have the kernel kill this process when its parent ends."""
    _call("pdeathsig", _libc.prctl(_SET_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0))


def children() -> list[int]:
    """List the child processes.

    Returns:
        Their process ids; none where there is no /proc.
    """
    with contextlib.suppress(OSError), open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
        return [int(each) for each in file.read().split()]
    return []


def is_dead(process: int) -> bool:
    """Return whether a process has ended and is only waited for.

    Args:
        process: its id.

    Returns:
        True also if there is no such process.
    """
    try:
        with open(f"/proc/{process}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] in "ZX"
    except (OSError, IndexError):
        return True


def drop_privileges(uid: int | None, capabilities: bool) -> None:
    """Drop all privileges, for this process and every program that it starts.

    Args:
        uid: the user id to change to, if this process is root.
        capabilities: whether this process is root of a user namespace, and so has capabilities to drop.
    """
    if uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    elif capabilities:
        for number in range(64):
            _libc.prctl(_DROP_CAPABILITY, number, 0, 0, 0)
        header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
        _call("capset", _libc.syscall(_number(_CAPSET), header, (ctypes.c_uint32 * 6)()))
    _call("no_new_privs", _libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0))


def _bind(path: str, target: str, *, read_only: bool) -> None:
    if os.path.isdir(path):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "w"):
            pass
    _mount(path, target, None, _BIND | _REC)
    if read_only:
        _read_only(target, recursive=True)


def _read_only(target: str, *, recursive: bool) -> None:
    attributes = ctypes.create_string_buffer(struct.pack("QQQQ", _ATTR_RDONLY | _ATTR_NOSUID, 0, 0, 0), 32)
    flags = _AT_RECURSIVE if recursive else 0
    _call("mount_setattr", _libc.syscall(_MOUNT_SETATTR, _AT_FDCWD, target.encode(), flags, attributes, 32))


def _mount(source: str | None, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    texts = [None if each is None else each.encode() for each in (source, target, kind, options)]
    _call(f"mount {target}", _libc.mount(texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3]))


def _number(table: dict[str, int]) -> int:
    machine = os.uname().machine
    if machine not in table:
        raise OSError(f"the system calls of {machine} are not known here")
    return table[machine]


def _call(what: str, result: int) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
