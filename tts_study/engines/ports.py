"""The addresses of servers on this machine."""

import re
import socket
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import ip_address
from urllib.parse import urlsplit

from tts_study.errors import UserError

LARGEST_PORT = 65535
LONGEST_HOST = 253  # characters, by the rules of names on the internet


def free_port() -> int:
    """A port that is not in use."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def check_places(host: str, ports: Sequence[int]) -> None:
    """Make sure that servers could be at a host's ports.

    Raises:
        UserError: the host cannot be one, or a port is not a valid one or is named twice.
    """
    if not host.strip():
        raise UserError("--host is empty: give an address to listen on, such as 127.0.0.1")
    if not is_host(host):
        shown = "what is given" if "@" in host else ascii(host[:60])  # a password is not shown
        raise UserError(f"--host needs an address to listen on, such as 127.0.0.1, and {shown} cannot be one")
    for port in ports:
        if port > LARGEST_PORT:
            raise UserError(f"{port} is not a port: choose one of at most {LARGEST_PORT}")
        if ports.count(port) > 1:
            raise UserError(f"port {port} is named twice: each server needs its own")


def is_host(host: str) -> bool:
    """Whether a text can be the name of a machine, or its address (an IPv6 one without brackets)."""
    with suppress(ValueError):
        return bool(ip_address(host))
    try:
        name = host.encode("idna").decode().removesuffix(".")
    except UnicodeError:  # a part is empty or too long, or has half a character
        return False
    return len(name) <= LONGEST_HOST and re.fullmatch(r"\w([\w.-]*\w)?", name, re.ASCII) is not None


def server_urls(text: str) -> list[str]:
    """The URLs in a text with commas between, as `server_url` returns them.

    Raises:
        UserError: one of them cannot be a server's; none is shown where one may contain a password.
    """
    if "@" in text:
        raise UserError("a server's URL contains a name or a password: put an API key into $TTS_STUDY_API_KEY instead")
    return [server_url(url.strip()) for url in text.split(",") if url.strip()]


def server_url(url: str) -> str:
    """A server's URL without "/v1" at its end.

    Raises:
        UserError: it cannot be one; a password in it is not shown.
    """
    if "@" in url:
        raise UserError("a server's URL contains a name or a password: put an API key into $TTS_STUDY_API_KEY instead")
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and is_host(parts.hostname or "") and parts.port != 0
    except ValueError:  # its port is no number or too large, or its brackets do not match
        good = False
    if not good or parts.query or parts.fragment or not re.fullmatch(r"[!-~]+", url):
        raise UserError(f"{url[:60]!a} is not a server's URL: give one like http://127.0.0.1:8000")
    return url.rstrip("/").removesuffix("/v1")


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
