"""Who does something is what the operating system says."""

from __future__ import annotations

import os
import pwd

import pytest

from smallfirst.user import user_name


def test_the_environment_makes_nobody_somebody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "the-approver")
    assert user_name() == pwd.getpwuid(os.getuid()).pw_name


def test_an_account_without_a_name_has_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 7)
    assert user_name() == f"uid {2**31 - 7}"
