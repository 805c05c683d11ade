"""Ports of this machine, for servers of tests."""

import socket


def free_port():
    """A TCP port of the loopback address that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]
