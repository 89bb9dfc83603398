"""A machine that you reach over SSH as a backend: the runs of the local backend, on that machine."""

from ftkit.backends.ssh.backend import SSH
from ftkit.backends.ssh.remote_machine import RemoteMachine

__all__ = ["SSH", "RemoteMachine"]
