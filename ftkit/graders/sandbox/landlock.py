"""A process that shuts itself in: Landlock for files, seccomp for what goes past them. Linux 6.2, without privileges.

For machines that give no namespaces (containers, Ubuntu since 23.10). Imported inside the sandbox by a file that runs
alone, so nothing of ftkit is imported here. Sources: landlock(7), seccomp(2).
"""

import ctypes
import errno
import os
import struct
from collections.abc import Sequence

__all__ = ["restrict_process"]

_libc = ctypes.CDLL(None, use_errno=True)

# landlock(7)
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF, _VERSION, _PATH_BENEATH = 444, 445, 446, 1, 1
_WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 1, 1 << 2, 1 << 3
_MAKE_CHAR, _MAKE_SOCK, _MAKE_BLOCK, _EXECUTE, _TRUNCATE, _IOCTL = 1 << 6, 1 << 9, 1 << 11, 1, 1 << 14, 1 << 15
_OLDEST = 3  # version of Linux 6.2: before, files outside could be emptied
_FS_BITS = {3: 15, 4: 15}  # how many rights a version knows; 16 since the fifth
_TCP, _SCOPES = 0b11, 0b11  # bind and connect, since version 4; abstract sockets and signals, since version 6
_DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")

# seccomp(2): refused altogether, by machine. What a file is allowed or called, who owns it and when it was changed is
# nothing that Landlock holds back; and shared memory, queues and sockets are no files.
_REFUSED = {
    "x86_64": (
        *(
            41,
            101,
            165,
            272,
            298,
            308,
            310,
            311,
            321,
            323,
        ),  # socket ptrace mount unshare perf setns process_vm bpf uffd
        *(129, 200, 297, 248, 249, 250),  # rt_sigqueueinfo tkill rt_tgsigqueueinfo add_key request_key keyctl
        *(90, 91, 92, 93, 94, 260, 268, 132, 235, 261, 280),  # chmod chown utime, and their variants
        *(188, 189, 190, 197, 198, 199, 29, 64, 68, 240),  # setxattr removexattr; shmget semget msgget mq_open
    ),
    "aarch64": (
        *(198, 117, 40, 97, 241, 268, 270, 271, 280, 282),
        *(138, 130, 240, 217, 218, 219),
        *(52, 53, 54, 55, 88),
        *(5, 6, 7, 14, 15, 16, 194, 190, 186, 180),
    ),
}
_REFUSED_EVERYWHERE = (
    424,
    425,
    438,
    452,
    463,
    466,
)  # pidfd_send_signal io_uring pidfd_getfd fchmodat2 set-, removexattrat
_SIGNALS = {"x86_64": (62, 234), "aarch64": (129, 131)}  # kill tgkill
_LIMITS = {"x86_64": 302, "aarch64": 261}  # prlimit64
_CLONE, _CLONE3 = {"x86_64": 56, "aarch64": 220}, 435
_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_NEW_NAMESPACES = 0x7E020000
_X32 = 0x40000000
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _FAIL, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_SET_SECCOMP, _FILTER, _NO_NEW_PRIVILEGES = 22, 2, 38


def restrict_process(paths: Sequence[str], folder: str) -> None:
    """Restrict this process, and all that it starts: no network, no signals to others, and only the files named here.

    Args:
        paths: files and folders that it may read.
        folder: folder that it may write to.

    Raises:
        OSError: the kernel does not support this.
    """
    machine = os.uname().machine
    if machine not in _ARCHITECTURE:
        raise OSError(errno.ENOSYS, f"the system calls of {machine} are not known here")
    _check("no_new_privs", _libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
    _restrict_files(paths, folder)
    _restrict_calls(machine)


def _restrict_files(paths: Sequence[str], folder: str) -> None:
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


def _restrict_calls(machine: str) -> None:
    """Install a seccomp filter: refused calls fail, signals reach only this process, no namespaces can be made."""
    number, architecture, first, flags = 0, 4, 16, 16  # places in struct seccomp_data
    fail = _FAIL | errno.EPERM
    program = [
        (_LOAD, 0, 0, architecture), (_EQUAL, 1, 0, _ARCHITECTURE[machine]), (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, number), (_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, fail),
    ]  # fmt: skip
    for refused in (*_REFUSED[machine], *_REFUSED_EVERYWHERE):
        program += [(_EQUAL, 0, 1, refused), (_RETURN, 0, 0, fail)]
    # The flags of clone3 are in memory, which a filter cannot read; the C library falls back to clone.
    program += [(_EQUAL, 0, 1, _CLONE3), (_RETURN, 0, 0, _FAIL | errno.ENOSYS)]
    program += [
        (_EQUAL, 0, 4, _CLONE[machine]), (_LOAD, 0, 0, flags), (_ANY_BIT, 0, 1, _NEW_NAMESPACES), (_RETURN, 0, 0, fail),
        (_RETURN, 0, 0, _ALLOW),
    ]  # fmt: skip
    own = [(call, os.getpid()) for call in _SIGNALS[machine]] + [(_LIMITS[machine], 0)]
    for call, process in own:
        program += [
            (_EQUAL, 0, 4, call), (_LOAD, 0, 0, first), (_EQUAL, 1, 0, process), (_RETURN, 0, 0, fail),
            (_RETURN, 0, 0, _ALLOW),
        ]  # fmt: skip
    program.append((_RETURN, 0, 0, _ALLOW))
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    held = ctypes.create_string_buffer(struct.pack("HP", len(program), ctypes.addressof(code)))
    _check("seccomp", _libc.prctl(_SET_SECCOMP, _FILTER, ctypes.byref(held), 0, 0))


def _check(what: str, result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result
