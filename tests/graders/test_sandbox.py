"""Foreign code: each way in which it could do harm, contained and reported, while the other answers are graded."""

from __future__ import annotations

import errno
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

import ftkit as ft
from ftkit.errors import ConfigError
from ftkit.graders import Grade, GraderContext, Isolation, Limits, Sample
from ftkit.graders.sandbox import check_isolation, runner
from ftkit.graders.sandbox import isolation as isolating

MIB = 1024**2


TIERS = ("namespaces", "landlock", "limits")
walls_of_the_kernel = pytest.mark.parametrize("tier", TIERS[:2], indirect=True)
"""For what limits alone do not hold back: files, sockets, rights."""


@pytest.fixture(autouse=True, params=TIERS)
def tier(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Each test behind each kind of wall, whoever runs it, where the kernel has it."""
    monkeypatch.setitem(runner._TIERS, "kernel", (request.param,))
    if (
        request.param != "namespaces"
        and os.geteuid() == 0
        and not isolating._readable_by_all(isolating.readable_paths())
    ):
        open_python_to_all(monkeypatch)
    check_isolation.cache_clear()
    try:
        check_isolation("kernel")
    except ConfigError as error:
        pytest.skip(str(error))
    yield request.param
    check_isolation.cache_clear()


def open_python_to_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start sandboxes where the user that root's process becomes can read a Python that lies in root's own folder."""
    paths = [*isolating.readable_paths(), str(Path(sys.executable).resolve().parent)]
    every = [folder for path in paths for folder in (Path(path), *Path(path).parents)]
    closed = {folder for folder in every if folder.is_dir() and not folder.stat().st_mode & 0o001}
    outermost = sorted(folder for folder in closed if closed.isdisjoint(folder.parents))
    script = ["set -e"]
    for number, top in enumerate(outermost):
        inside = [path for path in paths if Path(path).is_relative_to(top)]
        kept = [f"/mnt/{number}-{at}" for at in range(len(inside))]
        script += ["mount -t tmpfs tmpfs /mnt"] if not number else []
        script += [f"mkdir {aside}; mount --bind {path} {aside}" for path, aside in zip(inside, kept, strict=True)]
        script += [f"mount -t tmpfs -o mode=755 tmpfs {top}"]
        script += [f"mkdir -p {path}; mount --bind {aside} {path}" for path, aside in zip(inside, kept, strict=True)]
    command = isolating.command
    opened = ["unshare", "--mount", "sh", "-c", "; ".join([*script, 'exec env -u PWD "$@"']), "sh"]
    monkeypatch.setattr(isolating, "_readable_by_all", lambda paths: True)
    monkeypatch.setattr(runner, "command", lambda how: [*(opened if how != "namespaces" else []), *command(how)])


def run(
    body: str, *, answers: int = 3, seconds: float = 10, isolation: Isolation = "kernel", top: str = ""
) -> list[Grade]:
    """Grade answers 0, 1, … by a function in which ``i`` is the number."""
    indented = "\n".join(f"    {line}" for line in dedent(body).strip().splitlines())
    source = f"{dedent(top)}\ndef grade(sample, item):\n    i = item['i']\n{indented}\n    return 1.0\n"
    limits = Limits(seconds=seconds, memory_bytes=256 * MIB, disk_bytes=8 * MIB, output_bytes=64 * 1024, processes=8)
    setting = GraderContext(allow_python=True, isolation=isolation, limits=limits)
    pairs = [({"i": number}, Sample(f'{{"n": {number}}}')) for number in range(answers)]
    return ft.PythonGrader(source=source).grade_many(pairs, setting)


def contained(body: str, error: str, why: str) -> None:
    """What ``body`` does to the second answer is reported there, and the others have their grades."""
    first, second, third = run("if i == 1:\n" + "\n".join(f"    {line}" for line in dedent(body).strip().splitlines()))
    assert first == third == Grade(1.0)
    assert (second.reward, second.error) == (0.0, error)
    assert re.search(why, str(second.detail))


HIDDEN = "FileNotFoundError|PermissionError"
RUNTIME, SERVER = "python_grader_runtime_error", "python_grader_server_error"


def test_it_sees_the_answer_and_the_row() -> None:
    grades = run("return sample['output_json']['n'] * 10 + item['i'] + len(sample['output_tools'])", answers=40)
    assert [one.reward for one in grades] == [11.0 * number for number in range(40)]


def test_packages_of_this_python_are_there() -> None:
    assert [one.reward for one in run("return float(numpy.mean([i, i + 2]))", top="import numpy")] == [1.0, 2.0, 3.0]


@walls_of_the_kernel
def test_the_network_is_out_of_reach() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        contained(
            f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 1)",
            RUNTIME,
            "OSError|PermissionError|ConnectionRefused",
        )
    contained("import socket\nsocket.create_connection(('1.1.1.1', 53), 1)", RUNTIME, "unreachable|not permitted")
    contained("import socket\nsocket.getaddrinfo('example.com', 80)", RUNTIME, "gaierror|OSError|PermissionError")


@walls_of_the_kernel
def test_sockets_of_the_machine_are_out_of_reach(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as abstract:
        server.bind(path)
        server.listen()
        abstract.bind("\0ftkit-test")
        abstract.listen()
        code = "import socket\nsocket.socket(socket.AF_UNIX).connect({!r})"
        contained(code.format(path), RUNTIME, HIDDEN)
        contained(code.format("\0ftkit-test"), RUNTIME, "refused|not permitted")


@walls_of_the_kernel
@pytest.mark.parametrize("path", ["/etc/passwd", "/proc/1/environ", "/proc/self/environ", "/sys/kernel", "/dev/mem"])
def test_files_of_the_machine_are_out_of_reach(path: str) -> None:
    contained(f"open({path!r}).read()", RUNTIME, HIDDEN)


@walls_of_the_kernel
def test_own_files_are_out_of_reach(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("key", encoding="utf-8")
    contained(f"open({str(secret)!r}).read()", RUNTIME, HIDDEN)
    contained(f"open({str(Path(__file__))!r}).read()", RUNTIME, HIDDEN)
    contained(f"import os\nos.listdir({str(Path.home() / '.ssh')!r})", RUNTIME, HIDDEN)
    pythons = {Path(one).parts[2] for one in (sys.prefix, sys.base_prefix) if one.startswith("/tmp/")}
    looking = f"import os\nraise ValueError(set(os.listdir(os.path.expanduser('~'))) - {pythons!r})"
    contained(looking, RUNTIME, r"ValueError: set\(\)")


def test_the_environment_holds_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    (grade,) = run("import os\nraise ValueError(sorted(os.environ))", answers=1)
    assert "['HOME', 'LANG', 'OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'PATH', 'TMPDIR']" in str(grade.detail)


@walls_of_the_kernel
def test_nothing_outside_its_folder_can_be_written(tmp_path: Path) -> None:
    library = isolating.readable_paths()[0]
    for folder in (library, "/", "/dev", "/usr", str(tmp_path)):
        contained(f"open({folder + '/left-behind'!r}, 'w')", RUNTIME, "Error")
        assert not (Path(folder) / "left-behind").exists()
    (grade,) = run("open('x', 'w').write('y')\nassert open('x').read() == 'y'", answers=1)
    assert grade == Grade(1.0)
    assert not Path("x").exists()


@walls_of_the_kernel
def test_privileges_are_gone() -> None:
    mount = "import ctypes\nassert ctypes.CDLL(None).mount(b'tmpfs', b'/usr', b'tmpfs', 0, None) == 0, 'refused'"
    contained(mount, RUNTIME, "AssertionError: refused")
    contained("import os\nos.chroot('/tmp')", RUNTIME, "PermissionError")
    contained("import os\nos.setuid(0) if os.getuid() else os.setgroups([7])", RUNTIME, "PermissionError")


def test_an_endless_loop_ends() -> None:
    started = time.monotonic()
    first, second, third = run("while i == 1: pass", seconds=1)
    assert first == third == Grade(1.0)
    assert (second.reward, second.error, second.detail) == (0.0, SERVER, "grading took more than 1 s and was stopped")
    assert time.monotonic() - started < 30


def test_a_loop_that_catches_everything_ends() -> None:
    body = """
        while i == 1:
            try:
                while True: pass
            except BaseException: pass
    """
    assert [one.error for one in run(body, seconds=1)] == [None, SERVER, None]


def test_code_that_reads_no_more_does_not_hold_the_others_up() -> None:
    later = "threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGSTOP)).start()"
    source = (
        f"import os, signal, threading, time\n{later}\ndef grade(sample, item):\n    time.sleep(0.5)\n    return 1.0\n"
    )
    limits = Limits(seconds=1)
    started = time.monotonic()
    pairs = [({}, Sample("x" * 300_000))] * 3
    grades = ft.PythonGrader(source=source).grade_many(pairs, GraderContext(allow_python=True, limits=limits))
    assert {one.error for one in grades} == {SERVER}
    assert time.monotonic() - started < 30


def test_large_answers_come_whole() -> None:
    source = "def grade(sample, item):\n    return len(sample['output_text'])\n"
    setting = GraderContext(allow_python=True, limits=Limits(seconds=5))
    (grade,) = ft.PythonGrader(source=source).grade_many([({}, Sample("x" * 3_000_000))], setting)
    assert grade == Grade(3_000_000.0)


@pytest.mark.parametrize("grader", ["loop", "ft.MultiGrader(graders={'a': loop, 'b': loop}, calculate_output='a + b')"])
@pytest.mark.parametrize("seconds", [pytest.param(0.02, marks=pytest.mark.slow), 1.0])
def test_a_wait_for_it_can_be_interrupted(grader: str, seconds: float) -> None:
    code = f"""
        import ftkit as ft, signal
        from ftkit.graders.sandbox import check_isolation
        signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs ignore
        loop = ft.PythonGrader(source="def grade(sample, item):\\n    while True: pass")
        check_isolation("kernel")
        print("begun", flush=True)
        ft.grade({grader}, [{{}}] * 30, ["x"] * 30, allow_python=True)
    """
    command = [sys.executable, "-c", dedent(code)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"begun\n"
            time.sleep(seconds)
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=30) != 0
        finally:
            process.kill()
    assert leftovers() == []


def test_a_fork_bomb_is_bounded_and_nothing_of_it_is_left() -> None:
    first, second, third = run("import os\nwhile i == 1:\n    os.fork()", seconds=1)
    assert first == third == Grade(1.0)
    assert second.reward == 0.0
    assert second.error in (RUNTIME, SERVER)
    assert leftovers() == []
    threads = "import threading, time\nfor _ in range(50): threading.Thread(target=time.sleep, args=(9,)).start()"
    contained(threads, RUNTIME, "RuntimeError: can't start new thread")


def test_processes_that_hide_do_not_outlive_it() -> None:
    body = """
        import os, time
        if i == 1 and os.fork() == 0:
            os.setsid()
            if os.fork() == 0: time.sleep(600)
            os._exit(0)
    """
    run(body)
    assert leftovers() == []


def leftovers() -> list[str]:
    """Processes of sandboxes that are this one's, or that nobody minds any more."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line, status = (folder / "cmdline").read_text(), (folder / "stat").read_text()
        except (OSError, ValueError):  # ended in the meantime
            continue
        if "sandbox/program.py" in line and int(status.rpartition(")")[2].split()[1]) in (1, os.getpid()):
            found.append(line)
    return found


def test_a_memory_bomb_is_bounded() -> None:
    contained("x = 'a' * 10**10", RUNTIME, "MemoryError")
    contained("x = []\nwhile True: x.append('a' * 10**6)", RUNTIME, "MemoryError")


def test_memory_of_many_processes_is_counted_together() -> None:
    body = """
        import os, time
        for _ in range(4):
            if os.fork() == 0:
                held = bytearray(os.urandom(4096)) * (100 * 2**20 // 4096)
                time.sleep(20)
                os._exit(0)
        time.sleep(20)
    """
    contained(body, SERVER, "used more than 268,435,456 bytes of memory")
    assert leftovers() == []


CALLS = """
import ctypes, errno, os
numbers = {"x86_64": 0, "aarch64": 1, "riscv64": 1}[os.uname().machine]
library = ctypes.CDLL(None, use_errno=True)
def call(numbers_, *arguments):
    found = library.syscall(numbers_[numbers] if isinstance(numbers_, tuple) else numbers_, *arguments)
    return "allowed" if found >= 0 else errno.errorcode[ctypes.get_errno()]
"""


@pytest.mark.parametrize(
    "refused",
    [
        "(250, 219), 0, -3, 0",  # keyctl: the id of the session keyring
        "(248, 217), b'user', b'name', b'value', 5, -3",  # add_key
        "425, 4, 0",  # io_uring_setup
        "(272, 97), 0x10000000",  # unshare(CLONE_NEWUSER)
        "(56, 220), 0x10000011, 0, 0, 0, 0",  # clone(CLONE_NEWUSER)
        "(41, 198), 40, 1, 0",  # socket(AF_VSOCK)
        "(41, 198), 38, 5, 0",  # socket(AF_ALG)
        "(41, 198), 16, 3, 0",  # socket(AF_NETLINK)
        "(319, 279), b'x', 0",  # memfd_create
        "(29, 194), 0, 4096, 0o1600",  # shmget
        "(323, 282), 0",  # userfaultfd
        "(321, 280), 0, 0, 0",  # bpf
        "(101, 117), 0, 0, 0, 0",  # ptrace(PTRACE_TRACEME)
        "430, b'tmpfs', 0",  # fsopen
        "(303, 264), -100, b'.', 0, 0, 0",  # name_to_handle_at
        "457, 0, 0, 0, 0",  # statmount
        "458, 0, 0, 0, 0",  # listmount
        "(206, 0), 1, ctypes.create_string_buffer(8)",  # io_setup
        "(54, 208), 0, 1, 7, 0, 4",  # setsockopt
        "(16, 29), 0, 0x5412, b'x'",  # ioctl(TIOCSTI)
    ],
)
def test_calls_that_lead_out_are_refused(refused: str) -> None:
    assert run(f"assert call({refused}) == 'EPERM', call({refused})", answers=1, top=CALLS) == [Grade(1.0)]


@pytest.mark.parametrize(
    "refused",
    [
        "(72, 25), channel, 8, os.getppid()",  # fcntl(F_SETOWN): who is told that a pipe has data
        "(72, 25), channel, 10, 9",  # fcntl(F_SETSIG): by which signal
        "(72, 25), channel, 15, 0",  # fcntl(F_SETOWN_EX)
        "(16, 29), channel, 0x8901, 0",  # ioctl(FIOSETOWN)
        "(141, 140), 0, os.getppid(), 19",  # setpriority
        "(251, 30), 1, os.getppid(), 0",  # ioprio_set
        "(203, 122), os.getppid(), 8, ctypes.create_string_buffer(8)",  # sched_setaffinity
    ],
)
def test_other_processes_are_left_alone(refused: str, tier: str) -> None:
    """Behind the wall of a namespace there are none."""
    if tier == "namespaces":
        pytest.skip("nothing else is there")
    body = f"channel = os.pipe()[0]\nassert call({refused}) == 'EPERM', call({refused})"
    assert run(body, answers=1, top=CALLS) == [Grade(1.0)]


def test_space_is_not_reserved_before_it_can_be_counted(tier: str) -> None:
    allowed = "allowed" if tier == "namespaces" else errno.errorcode[errno.EOPNOTSUPP]
    body = f"""
        with open("x", "wb") as file:
            assert call((285, 47), file.fileno(), 0, 0, 4096) == {allowed!r}
            os.posix_fallocate(file.fileno(), 0, 8192)
        assert os.stat("x").st_size == 8192
    """
    assert run(body, answers=1, top=CALLS) == [Grade(1.0)]


def test_what_graders_need_is_allowed() -> None:
    body = """
        import asyncio, multiprocessing, subprocess, sys, tempfile, threading
        assert call(465) == "ENOSYS"  # a call that is younger than the filter
        asyncio.run(asyncio.sleep(0))
        with tempfile.TemporaryDirectory() as folder:
            open(f"{folder}/x", "w").write("x")
        thread = threading.Thread(target=len, args=("x",))
        thread.start()
        thread.join()
    """
    assert run(body, answers=1, top=CALLS) == [Grade(1.0)]


def test_huge_output_is_bounded() -> None:
    contained("while True: print('x' * 1000)", SERVER, "printed more than 65,536 bytes")
    contained("raise ValueError('x' * 10**7)", RUNTIME, "ValueError: xxx")
    contained(
        "import os\nfor d in range(3, 200):\n    try: os.write(d, b'x' * 10**6)\n    except OSError: pass",
        SERVER,
        "channel",
    )


def test_a_full_disk_is_bounded(tier: str) -> None:
    contained("f = open('x', 'wb')\nwhile True: f.write(b'x' * 10**6)", RUNTIME, "the disk limit")
    # Many small files together. Where the file system has no limit of its own, they are counted.
    many = "for n in range(12): open(f'{n}', 'wb').write(b'x' * 10**6)\nimport time\ntime.sleep(2)"
    if tier == "namespaces":
        contained(many, RUNTIME, "the disk limit")
    else:
        contained(many, SERVER, "used more than 8,388,608 bytes of disk")
        deleted = "import os, time\nheld = []\nfor n in range(12):\n    held.append(open(f'{n}', 'wb'))\n"
        deleted += "    os.remove(f'{n}')\n    held[-1].write(b'x' * 10**6)\n    held[-1].flush()\ntime.sleep(2)"
        contained(deleted, SERVER, "used more than 8,388,608 bytes of disk")


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("import os\nos._exit(3)", "the process ended with code 3 while grading"),
        ("import os\nos.abort()", "killed by SIGABRT"),
        ("import ctypes\nctypes.string_at(0)", "killed by SIGSEGV"),
        ("raise SystemExit(1)", "SystemExit"),
        ("return 'high'", "not a finite number"),
        ("return float('nan')", "not a finite number"),
        ("return None", "TypeError"),
        ("def f(): f()\nf()", "RecursionError"),
    ],
)
def test_what_ends_badly_is_told(body: str, why: str) -> None:
    contained(body, RUNTIME, why)


def test_code_that_cannot_be_loaded_is_told_for_every_answer() -> None:
    grades = run("pass", top="raise ImportError('no such thing')")
    assert {(one.error, one.detail) for one in grades} == {(RUNTIME, "loading the code: ImportError: no such thing")}
    slow = run("pass", top="while True: pass", seconds=1)
    assert {one.error for one in slow} == {SERVER}


def test_many_answers_share_a_process() -> None:
    started = time.monotonic()
    grades = run("return i", answers=2000)
    assert [one.reward for one in grades] == [float(number) for number in range(2000)]
    assert time.monotonic() - started < 30


def test_sandboxes_run_beside_each_other() -> None:
    found: list[list[Grade]] = []
    threads = [threading.Thread(target=lambda: found.append(run("return i", answers=20))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [[one.reward for one in grades] for grades in found] == [[float(n) for n in range(20)]] * 4


@walls_of_the_kernel
def test_where_there_are_no_walls_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolating.shutil, "which", lambda name: None)
    check_isolation.cache_clear()
    try:
        monkeypatch.setitem(runner._TIERS, "kernel", ("namespaces",))
        with pytest.raises(ConfigError, match=r"unshare .* is not installed.*isolation=.process."):
            run("pass")
        monkeypatch.undo()
        monkeypatch.setattr(runner, "command", lambda how: ["false"])
        with pytest.raises(ConfigError, match="cannot be isolated here"):
            run("pass")
    finally:
        check_isolation.cache_clear()


@pytest.mark.parametrize("tier", TIERS[2:], indirect=True)
def test_a_process_alone_still_has_its_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        check_isolation("process")
    except ConfigError as error:
        pytest.skip(str(error))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    body = """
        import os
        assert 'OPENAI_API_KEY' not in os.environ
        if i == 1: x = 'a' * 10**10
        while i == 2: pass
    """
    first, second, third = run(body, isolation="process", seconds=1)
    assert first == Grade(1.0)
    assert "MemoryError" in str(second.detail)
    assert third.error == SERVER


def test_half_a_character_in_an_error_can_be_stored() -> None:
    (grade,) = run("raise RuntimeError('\\ud800')", answers=1)
    assert grade.detail == "grading: RuntimeError: \\ud800"


def test_a_number_beyond_floats_in_the_channel_is_no_grade() -> None:
    body = "import os\nfor fd in range(3, 20):\n    try:\n        os.write(fd, b'{\"grade\": 1' + b'0' * 400 + b'}\\n')"
    (grade,) = run(f"{body}\n    except OSError:\n        pass\nimport time\ntime.sleep(1)", answers=1)
    assert grade.reward == 0.0
    assert grade.error is not None


def test_code_that_forks_and_ends_over_and_over_does_not_outlive_the_sandbox() -> None:
    name = f"hop{os.getpid() % 10**6}"
    body = f"""
    import ctypes, os
    ctypes.CDLL(None).prctl(15, b"{name}")
    if os.fork() == 0:
        os.setsid()
        while True:
            try:
                if os.fork():
                    os._exit(0)
            except OSError:
                pass
    """
    started = time.monotonic()
    assert [grade.reward for grade in run(body, answers=1)] == [1.0]
    assert time.monotonic() - started < 8
    assert name not in {comm for comm in map(_comm, Path("/proc").glob("[0-9]*/comm")) if comm}


def _comm(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
