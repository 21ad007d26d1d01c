"""What an error looks like, wherever it comes from."""

from __future__ import annotations

import errno
import os
import sys

import pytest

from smallfirst.cli.main import main
from smallfirst.errors import DatasetError


def ended(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Runs the program with a command that does nothing but fail."""

    def fails() -> None:
        raise error

    module = sys.modules["smallfirst.cli.main"]  # the package has a function of the same name
    monkeypatch.setattr(module, "app", fails)
    main()


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (DatasetError("nothing is usable"), "error: nothing is usable\n"),
        (OSError(errno.EACCES, "Permission denied", "a/file"), "error: a/file: Permission denied\n"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "error: No space left on device: make room"),
    ],
)
def test_it_is_one_line(
    error: Exception, says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="1"):
        ended(monkeypatch, error)
    told = capsys.readouterr().err
    assert told.startswith(says)
    assert told.count("\n") == 1


def test_what_nobody_foresaw_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OSError, match="broken"):
        ended(monkeypatch, OSError(errno.EIO, "broken"))
