"""Check that a port is free before anything is loaded."""

import errno
import os
import socket

VARIABLE = "GRADIO_SERVER_PORT"


def check_port(host: str | None, port: int | None) -> None:
    """Check that the page can be served on this host and port.

    If neither `port` nor `GRADIO_SERVER_PORT` is given, nothing is checked, since the first free port is used.

    Raises:
        OSError: the port cannot be used. The message says why and what to do.
        ValueError: `GRADIO_SERVER_PORT` is not a number.
    """
    given = f"the environment variable {VARIABLE}" if port is None else "--port"
    if port is None:
        wanted = os.environ.get(VARIABLE)
        if not wanted:
            return
        if not wanted.isdigit():
            raise ValueError(f"{VARIABLE} is {wanted!r}, which is not a port")
        port = int(wanted)
    host = host or os.environ.get("GRADIO_SERVER_NAME") or "127.0.0.1"
    if not 0 < port < 2**16:
        raise OSError(f"there is no port {port}: ports are numbers from 1 to 65535")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            if os.name != "nt":  # on Windows this option lets two programs share a port
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except socket.gaierror as error:
        raise OSError(f"there is no host {host!r} to serve on") from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise OSError(
                f"port {port} of {host} is in use by another program: choose another with {given}, or leave it out to "
                "use the first free port"
            ) from error
        raise OSError(f"port {port} of {host} cannot be used: {error.strerror}") from error
