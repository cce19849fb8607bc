"""Free ports on the loopback interface."""

import random
import socket

# Below the kernel's usual ephemeral range: no outgoing connection takes a port between our check and its use.
_FIRST, _LAST = 20000, 31999


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Tell whether a server could listen on the port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def is_listening(port: int, host: str = "127.0.0.1") -> bool:
    """Tell whether something accepts connections on the port."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port nobody listens on at this address; a server that loses the race for it asks again."""
    chooser = random.SystemRandom()
    for _ in range(200):
        port = chooser.randint(_FIRST, _LAST)
        if is_free(port, host):
            return port
    raise RuntimeError(f"no free port found between {_FIRST} and {_LAST}")
