"""The filter of system calls, the same for every kind of sandbox. Linux on x86-64, ARM64 and RISC-V.

Untrusted code needs files, memory, processes and pipes. Everything by which it could leave its sandbox, reach another
process, use memory that nobody counts, or find the kernel's rarely used parts, is refused. Imported inside the sandbox
by a file that runs alone, so nothing of ftkit is imported here. Source: seccomp(2).
"""

import ctypes
import errno
import os
import struct

__all__ = ["restrict_calls"]

# Numbers on x86-64, and on machines with the generic table (ARM64, RISC-V); -1 where the call does not exist.
_REFUSED = {
    # The network, also its families without addresses (AF_VSOCK, AF_ALG, AF_NETLINK). socketpair stays.
    "socket": (41, 198),
    # The kernel's keyring, which a process inherits from whoever started it.
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    # Other processes.
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "pidfd_send_signal": (424, 424), "pidfd_open": (434, 434), "pidfd_getfd": (438, 438),
    "process_madvise": (440, 440), "process_mrelease": (448, 448), "move_pages": (279, 239),
    "migrate_pages": (256, 238),
    # Namespaces and mounts.
    "unshare": (272, 97), "setns": (308, 268), "chroot": (161, 51), "pivot_root": (155, 41), "mount": (165, 40),
    "umount2": (166, 39), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
    "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442),
    "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265), "statmount": (457, 457), "listmount": (458, 458),
    # Calls that are made by the kernel later, past this filter.
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "io_setup": (206, 0), "io_submit": (209, 2),
    # Memory that no limit of a process counts. setsockopt makes the queues of a socketpair larger.
    "setsockopt": (54, 208),
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "shmget": (29, 194), "shmat": (30, 196),
    "msgget": (68, 186), "semget": (64, 190), "mq_open": (240, 180),
    # Parts of the kernel that graders have no use for, and in which faults are found again and again.
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "fanotify_init": (300, 262),
    "lookup_dcookie": (212, 18), "personality": (135, 92), "uselib": (134, -1), "modify_ldt": (154, -1),
    "iopl": (172, -1), "ioperm": (173, -1), "vhangup": (153, 58), "syslog": (103, 116),
    # What only an administrator may do.
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106), "kexec_load": (246, 104),
    "kexec_file_load": (320, 294), "reboot": (169, 142), "swapon": (167, 224), "swapoff": (168, 225),
    "acct": (163, 89), "quotactl": (179, 60), "quotactl_fd": (443, 443), "sethostname": (170, 161),
    "setdomainname": (171, 162), "settimeofday": (164, 170), "clock_settime": (227, 112), "adjtimex": (159, 171),
    "clock_adjtime": (305, 266),
}  # fmt: skip

# What a file is allowed or called, who owns it and when it was changed is nothing that Landlock holds back.
_FILE_ATTRIBUTES = {
    "chmod": (90, -1), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452), "chown": (92, -1),
    "fchown": (93, 55), "lchown": (94, -1), "fchownat": (260, 54), "utime": (132, -1), "utimes": (235, -1),
    "futimesat": (261, -1), "utimensat": (280, 88), "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7),
    "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16),
}  # fmt: skip

# Signals to others by their id or as a whole session; kill and tgkill are allowed for the own process only.
_SIGNALS = {"rt_sigqueueinfo": (129, 138), "tkill": (200, 130), "rt_tgsigqueueinfo": (297, 240)}
_KILL_OWN = {"kill": (62, 129), "tgkill": (234, 131)}

# How fast other processes of the same user run.
_PRIORITIES = {
    "setpriority": (141, 140), "ioprio_set": (251, 30), "sched_setparam": (142, 118), "sched_setscheduler": (144, 119),
    "sched_setattr": (314, 274),
}  # fmt: skip
_AFFINITY = (203, 122)

# By the number of a call: operations of it that are refused. The first are by which the kernel sends any signal to any
# process of the same user, when a pipe has data; the others write into a terminal as if somebody typed.
_FCNTL, _IOCTL = (72, 25), (16, 29)
_SET_OWNER = (8, 10, 15)  # F_SETOWN, F_SETSIG, F_SETOWN_EX
_SET_SOCKET_OWNER = (0x8901, 0x8902)  # FIOSETOWN, SIOCSPGRP
_TYPE_INTO_TERMINAL = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX

_FALLOCATE = (285, 47)
"""Reserves the disk's space faster than it can be counted. The C library writes instead."""
_PRLIMIT, _CLONE, _CLONE3 = (302, 261), (56, 220), 435

_NEWER = 463
"""Calls from here on are younger than this list; the C library gets along without them."""
_MACHINES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1), "riscv64": (0xC00000F3, 1)}
"""The kernel's number of each architecture, and which table of numbers it has."""
_NEW_NAMESPACES = 0x7E020000
_X32 = 0x40000000
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _FAIL, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_SET_SECCOMP, _FILTER = 22, 2
_NUMBER, _ARCHITECTURE, _FIRST, _SECOND = 0, 4, 16, 24  # places in struct seccomp_data

_libc = ctypes.CDLL(None, use_errno=True)

_Step = tuple[int, int, int, int]


def restrict_calls(*, own_processes: bool, file_attributes: bool) -> None:
    """Refuse system calls to this process and all that it starts. They fail with ``EPERM``.

    Args:
        own_processes: whether it sees only its own processes, so that it may send signals.
        file_attributes: whether it may change modes, owners and times of files.

    Raises:
        OSError: the kernel does not support this, or the numbers of this machine's calls are not known here.
    """
    machine = os.uname().machine
    if machine not in _MACHINES:
        raise OSError(errno.ENOSYS, f"the system calls of {machine} are not known here")
    architecture, table = _MACHINES[machine]
    fail, unknown = _FAIL | errno.EPERM, _FAIL | errno.ENOSYS
    program: list[_Step] = [
        (_LOAD, 0, 0, _ARCHITECTURE), (_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER), (_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, fail),
        (_AT_LEAST, 0, 1, _NEWER), (_RETURN, 0, 0, unknown),
    ]  # fmt: skip
    others = {} if own_processes else {**_SIGNALS, **_PRIORITIES}
    refused = {**_REFUSED, **({} if file_attributes else _FILE_ATTRIBUTES), **others}
    for numbers in refused.values():
        if numbers[table] >= 0:
            program += [(_EQUAL, 0, 1, numbers[table]), (_RETURN, 0, 0, fail)]
    # The flags of clone3 are in memory, which a filter cannot read; the C library falls back to clone.
    program += [(_EQUAL, 0, 1, _CLONE3), (_RETURN, 0, 0, unknown)]
    program += [
        (_EQUAL, 0, 4, _CLONE[table]), (_LOAD, 0, 0, _FIRST), (_ANY_BIT, 0, 1, _NEW_NAMESPACES), (_RETURN, 0, 0, fail),
        (_RETURN, 0, 0, _ALLOW),
    ]  # fmt: skip
    program += _only_if_first(_PRLIMIT[table], 0)
    operations: tuple[int, ...] = _TYPE_INTO_TERMINAL
    if not own_processes:
        for numbers in _KILL_OWN.values():
            program += _only_if_first(numbers[table], os.getpid())
        program += _only_if_first(_AFFINITY[table], 0)
        program += _not_if_second(_FCNTL[table], _SET_OWNER)
        program += [(_EQUAL, 0, 1, _FALLOCATE[table]), (_RETURN, 0, 0, _FAIL | errno.EOPNOTSUPP)]
        operations += _SET_SOCKET_OWNER
    program += _not_if_second(_IOCTL[table], operations)
    program.append((_RETURN, 0, 0, _ALLOW))
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    held = ctypes.create_string_buffer(struct.pack("HP", len(program), ctypes.addressof(code)))
    if _libc.prctl(_SET_SECCOMP, _FILTER, ctypes.byref(held), 0, 0) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"seccomp: {os.strerror(number)}")


def _only_if_first(call: int, value: int) -> list[_Step]:
    """Allow a call if its first argument has a value."""
    return [
        (_EQUAL, 0, 4, call), (_LOAD, 0, 0, _FIRST), (_EQUAL, 1, 0, value), (_RETURN, 0, 0, _FAIL | errno.EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ]  # fmt: skip


def _not_if_second(call: int, values: tuple[int, ...]) -> list[_Step]:
    """Refuse a call if its second argument is one of some values."""
    steps = [(_EQUAL, 0, 2 * len(values) + 2, call), (_LOAD, 0, 0, _SECOND)]
    for value in values:
        steps += [(_EQUAL, 0, 1, value), (_RETURN, 0, 0, _FAIL | errno.EPERM)]
    return [*steps, (_RETURN, 0, 0, _ALLOW)]
