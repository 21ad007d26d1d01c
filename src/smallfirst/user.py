"""Who does something: the operating system's account."""

from __future__ import annotations

import os
import pwd


def user_name() -> str:
    """The name of the account that this process runs under, whatever its environment says; its number where it has no name, as in a container."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
