"""The addresses of servers on this machine."""

import socket
from collections.abc import Sequence
from urllib.parse import urlsplit

from tts_study.errors import UserError

LARGEST_PORT = 65535


def free_port() -> int:
    """A port that is not in use."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def check_places(host: str, ports: Sequence[int]) -> None:
    """Make sure that servers could be at a host's ports.

    Raises:
        UserError: one of them is not a port, or is named twice.
    """
    if not host.strip():
        raise UserError("--host is empty: give an address to listen on, such as 127.0.0.1")
    for port in ports:
        if port > LARGEST_PORT:
            raise UserError(f"{port} is not a port: choose one of at most {LARGEST_PORT}")
        if ports.count(port) > 1:
            raise UserError(f"port {port} is named twice: each server needs its own")


def bracketed(host: str) -> str:
    """A host as URLs have it."""
    return f"[{host}]" if ":" in host else host  # IPv6


def check_free(url: str) -> None:
    """Make sure that a server could listen at a URL.

    Raises:
        UserError: its port is in use, or its host is not this machine.
    """
    parts = urlsplit(url)
    try:
        family, kind, _, _, address = socket.getaddrinfo(parts.hostname, parts.port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (OSError, OverflowError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"Cannot serve at {url} ({reason}): choose another port or host.") from None
