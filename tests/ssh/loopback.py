"""A real sshd on the loopback interface, behind a line that can be cut."""

from __future__ import annotations

import contextlib
import getpass
import os
import selectors
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

_SSHD = shutil.which("sshd") or next(
    (path for path in ("/usr/sbin/sshd", "/usr/local/sbin/sshd") if os.path.exists(path)), None
)


class Line:
    """Passes bytes on between a client and a port, until it is cut."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.down = False
        self.opened = 0
        self.cut_after: int | None = None
        """Cut once that many more bytes have passed, both ways together."""
        self._sockets: set[socket.socket] = set()
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, *, down: bool = False) -> None:
        """Cut all that is open; with ``down`` nothing opens until ``down`` is set back."""
        self.down = down
        with self._lock:
            for each in self._sockets:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.cut(down=True)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self.down:
                    client.close()
                    continue
                self.opened += 1
                threading.Thread(target=self._pass, args=(client,), daemon=True).start()

    def _pass(self, client: socket.socket) -> None:
        with (
            client,
            socket.create_connection(("127.0.0.1", self._target)) as server,
            selectors.DefaultSelector() as ready,
        ):
            with self._lock:
                self._sockets |= {client, server}
            ready.register(client, selectors.EVENT_READ, server)
            ready.register(server, selectors.EVENT_READ, client)
            with contextlib.suppress(OSError):
                open_ = True
                while open_:
                    for key, _ in ready.select():
                        data = key.fileobj.recv(16384)  # type: ignore[union-attr]
                        if not data:
                            open_ = False
                            break
                        if self.cut_after is not None:
                            self.cut_after -= len(data)
                            if self.cut_after <= 0:
                                self.cut_after = None
                                self.cut()
                        key.data.sendall(data)
            with self._lock:
                self._sockets -= {client, server}


@dataclass
class Loopback:
    """What tests need of the server."""

    config: Path
    line: Line
    known_hosts: Path


@contextlib.contextmanager
def loopback(folder: Path, environment: dict[str, str]) -> Iterator[Loopback]:
    """Run sshd with keys of its own; skips the tests where there is none."""
    keygen = shutil.which("ssh-keygen")
    if _SSHD is None or keygen is None or shutil.which("ssh") is None or shutil.which("sftp") is None:
        pytest.skip("needs OpenSSH's server and client: apt-get install openssh-server")
    for key in ("host", "user"):
        subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", str(folder / key)], check=True)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where sshd's processes without rights are put
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (folder / "authorized").write_bytes((folder / "user.pub").read_bytes())
    settings = {
        "ListenAddress": "127.0.0.1",
        "Port": port,
        "HostKey": folder / "host",
        "AuthorizedKeysFile": folder / "authorized",
        "PidFile": "none",
        "StrictModes": "no",
        "UsePAM": "no",
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
        "PermitRootLogin": "prohibit-password",
        "MaxStartups": 100,
        "MaxSessions": 100,
        "LogLevel": "ERROR",
        "Subsystem": "sftp internal-sftp",
        "SetEnv": " ".join(f'"{name}={value}"' for name, value in environment.items()),
    }
    (folder / "sshd_config").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    with (folder / "sshd.log").open("wb") as log:
        server = subprocess.Popen([_SSHD, "-D", "-e", "-f", str(folder / "sshd_config")], stdout=log, stderr=log)
    line = Line(port)
    try:
        _wait_for(port, server, folder / "sshd.log")
        known = folder / "known_hosts"
        known.write_text("box " + (folder / "host.pub").read_text())
        client = {
            "HostName": "127.0.0.1",
            "Port": line.port,
            "User": getpass.getuser(),
            "IdentityFile": folder / "user",
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": known,
            "GlobalKnownHostsFile": "none",
            "HostKeyAlias": "box",
        }
        config = folder / "config"
        config.write_text("Host box\n" + "".join(f"  {name} {value}\n" for name, value in client.items()))
        yield Loopback(config, line, known)
    finally:
        line.close()
        server.terminate()
        server.wait(10)


def _wait_for(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    pytest.skip(f"sshd does not start here: {log.read_text()[-300:]}")
