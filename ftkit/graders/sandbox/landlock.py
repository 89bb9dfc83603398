"""Restrict a process to a few files with Landlock. Linux 6.2, without privileges.

For machines that give no namespaces (containers, Ubuntu since 23.10). Imported inside the sandbox by a file that runs
alone, so nothing of ftkit is imported here. Source: landlock(7).
"""

import ctypes
import errno
import os
import struct
from collections.abc import Sequence

__all__ = ["restrict_files"]

_libc = ctypes.CDLL(None, use_errno=True)

# landlock(7)
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF, _VERSION, _PATH_BENEATH = 444, 445, 446, 1, 1
_WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 1, 1 << 2, 1 << 3
_MAKE_CHAR, _MAKE_SOCK, _MAKE_BLOCK, _EXECUTE, _TRUNCATE, _IOCTL = 1 << 6, 1 << 9, 1 << 11, 1, 1 << 14, 1 << 15
_OLDEST = 3  # version of Linux 6.2: before, files outside could be emptied
_FS_BITS = {3: 15, 4: 15}  # how many rights a version knows; 16 since the fifth
_TCP, _SCOPES = 0b11, 0b11  # bind and connect, since version 4; abstract sockets and signals, since version 6
_NO_NEW_PRIVILEGES = 38  # prctl(2)
_DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")


def restrict_files(paths: Sequence[str], folder: str) -> None:
    """Restrict this process, and all that it starts, to the files named here.

    Args:
        paths: files and folders that it may read.
        folder: folder that it may write to.

    Raises:
        OSError: the kernel does not support this.
    """
    _check("no_new_privs", _libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
    version = _check("landlock", _libc.syscall(_CREATE_RULESET, None, 0, _VERSION))
    if version < _OLDEST:
        raise OSError(errno.ENOSYS, "landlock of this kernel is too old; Linux 6.2 or newer is needed")
    every = (1 << _FS_BITS.get(version, 16)) - 1
    handled = struct.pack("QQQ", every, _TCP if version >= 4 else 0, _SCOPES if version >= 6 else 0)
    rules = _check("landlock", _libc.syscall(_CREATE_RULESET, handled, len(handled), 0))
    special = _MAKE_CHAR | _MAKE_BLOCK | _MAKE_SOCK | _EXECUTE
    allowed = [(path, _READ_FILE | _READ_DIR) for path in paths]
    allowed += [(path, _READ_FILE | _WRITE_FILE) for path in _DEVICES]
    allowed.append((folder, every & ~special))
    for path, rights in allowed:
        of_files = _READ_FILE | _WRITE_FILE | _EXECUTE | _TRUNCATE | _IOCTL
        held = rights if os.path.isdir(path) else rights & of_files
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
        rule = struct.pack("=Qi", held & every, opened)
        _check(f"landlock {path}", _libc.syscall(_ADD_RULE, rules, _PATH_BENEATH, rule, 0))
        os.close(opened)
    _check("landlock", _libc.syscall(_RESTRICT_SELF, rules, 0))
    os.close(rules)


def _check(what: str, result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result
