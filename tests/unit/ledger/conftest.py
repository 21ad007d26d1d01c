"""What several tests of the ledger need."""

from __future__ import annotations

import os
import subprocess

import pytest
from support.ledger import call, intent, settlement

from smallfirst.errors import LedgerUnavailable


@pytest.fixture
def tiny_disk(tmp_path):
    """A real file system of three megabytes, where this user may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs to mount a tmpfs: run as root")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.fixture
def full_tiny_disk(tiny_disk):
    """Fills it up to the last byte; returns the file that does, to be removed again."""

    def fill():
        filler = tiny_disk / "filler"
        with filler.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                return filler

    return fill


@pytest.fixture
def settle_until_refused():
    """Settles calls until the journal admits no more; returns those that it took."""

    def settle(journal):
        settled = []
        while True:
            one = call(decision={"why": "x" * 1000})
            try:
                journal.append_intent(intent(one))
            except LedgerUnavailable:
                return settled
            journal.append_settlement(settlement(one))
            settled.append(one.id)

    return settle
