"""`channels.json`: what it says survives, is changed by one writer at a time, and moves lawfully."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from smallfirst.errors import StateError
from smallfirst.releases import (
    Canary,
    Channels,
    Live,
    change_channels,
    read_channels,
    read_live,
    write_channels,
)
from smallfirst.releases.moves import (
    advanced,
    lease_ms,
    live_at_once,
    renewed,
    rolled_back,
    with_canary,
    with_shadow,
    without_canary,
    without_shadow,
)

OLD, NEW = Live(release="a" * 64, verdict="1" * 64), Live(release="b" * 64, verdict="2" * 64)


def test_nothing_promoted_is_baseline_and_the_format_before_channels_is_read(tmp_path: Path) -> None:
    assert read_channels(tmp_path) == Channels()
    (tmp_path / "channels.json").write_text('{"release": "abc", "unproven": "why"}')
    assert read_live(tmp_path) == Live(release="abc", unproven="why")


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"live": {"release": 1}}',
        '{"live": {}, "canary": {"release": "a", "stages": [0.5, 0.1], "began_ms": 1, "stage_began_ms": 1, "lease_until_ms": 1}}',
        '{"live": {}, "canary": {"release": "a", "stages": [0.5], "stage": 1, "began_ms": 1, "stage_began_ms": 1, "lease_until_ms": 1}}',
        '{"live": {}, "shadow": {"release": "a", "share": 2, "began_ms": 1}}',
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "channels.json").write_text(text)
    with pytest.raises(StateError, match="delete it to return to baseline"):
        read_channels(tmp_path)
    with pytest.raises(StateError):
        change_channels(tmp_path, lambda now: now)
    assert (tmp_path / "channels.json").read_text() == text
    assert change_channels(tmp_path, lambda now: rolled_back(now, now_ms=5), mend=True)[1].rolled_back_ms == 5
    assert read_live(tmp_path) == Live()


def test_a_swap_on_what_is_no_longer_there_is_refused(tmp_path: Path) -> None:
    seen = read_channels(tmp_path)
    change_channels(tmp_path, lambda now: live_at_once(now, OLD))
    with pytest.raises(StateError, match="changed by somebody else"):
        write_channels(tmp_path, live_at_once(seen, NEW), expected=seen)
    assert read_live(tmp_path) == OLD


def _add(state: Path, times: int) -> None:
    for _ in range(times):
        change_channels(
            state, lambda now: msgspec.structs.replace(now, rolled_back_ms=now.rolled_back_ms + 1)
        )


def test_no_change_of_several_processes_is_lost(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_add, args=(tmp_path, 40)) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert read_channels(tmp_path).rolled_back_ms == 120
    assert sorted(path.name for path in tmp_path.iterdir()) == ["channels.json", "channels.lock"]


WRITER = """
import sys
from pathlib import Path
from smallfirst.releases import Live, change_channels
from smallfirst.releases.moves import live_at_once
state = Path(sys.argv[1])
print("ready", flush=True)
number = 0
while True:
    number += 1
    change_channels(state, lambda now: live_at_once(now, Live(release=f"{number:064x}", unproven="x" * (number % 4000))))
"""


def test_kill_nine_while_promoting_leaves_one_readable_file(tmp_path: Path) -> None:
    for pause_s in (0.0, 0.004, 0.011, 0.023, 0.04):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(pause_s)
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        channels = read_channels(tmp_path)
        assert isinstance(channels, Channels)
        assert change_channels(tmp_path, lambda now: now)[1] == channels  # its lock died with it


def test_a_canary_advances_to_live_and_can_be_undone() -> None:
    begun = with_canary(Channels(live=OLD), NEW, (0.05, 0.25, 1.0), now_ms=1000)
    canary = begun.canary
    assert canary is not None
    assert (canary.share, canary.lease_until_ms) == (0.05, 1000 + lease_ms())
    assert begun.live == OLD
    later = renewed(begun, 1000, now_ms=5000)
    assert later.canary is not None
    assert later.canary.lease_until_ms == 5000 + lease_ms()
    second = advanced(begun, 1000, now_ms=2000)
    assert second.canary is not None
    assert (second.canary.share, second.canary.began_ms, second.canary.stage_began_ms) == (0.25, 1000, 2000)
    live = advanced(advanced(second, 1000, now_ms=3000), 1000, now_ms=4000)
    assert (live.live.release, live.live.verdict, live.previous, live.canary) == (
        NEW.release,
        NEW.verdict,
        OLD,
        None,
    )
    assert rolled_back(live, now_ms=9) == Channels(live=OLD, rolled_back_ms=9)


def test_a_controller_moves_no_canary_but_its_own() -> None:
    begun = with_canary(Channels(live=OLD), NEW, (0.5,), now_ms=1000)
    for moved in (
        renewed(begun, 999, now_ms=2000),
        advanced(begun, 999, now_ms=2000),
        without_canary(begun, 999, now_ms=2000),
        without_shadow(begun, 999),
    ):
        assert moved == begun
    gone = rolled_back(begun, now_ms=1500)
    assert renewed(gone, 1000, now_ms=2000) == gone
    assert without_canary(begun, 1000, now_ms=7) == Channels(live=OLD, rolled_back_ms=7)


def test_a_rollback_drops_a_canary_before_it_touches_what_is_live() -> None:
    live = live_at_once(Channels(live=OLD), NEW)
    begun = with_canary(live, Live(release="c" * 64), (0.5,), now_ms=1)
    first = rolled_back(begun, now_ms=2)
    assert (first.live, first.canary, first.previous) == (NEW, None, OLD)
    second = rolled_back(first, now_ms=3)
    assert (second.live, second.previous) == (OLD, None)
    assert rolled_back(second, now_ms=4).live == Live()


def test_a_shadow_ends_with_what_it_was_beside() -> None:
    shadowed = with_shadow(Channels(live=OLD), NEW.release, 0.05, by="ana", now_ms=1)
    assert shadowed.shadow is not None
    assert shadowed.shadow.share == 0.05
    assert without_shadow(shadowed, 1) == Channels(live=OLD)
    assert live_at_once(shadowed, NEW).shadow is None
    assert rolled_back(shadowed, now_ms=2).shadow is None


def test_promoting_what_is_live_keeps_where_a_rollback_goes() -> None:
    live = live_at_once(Channels(live=OLD), NEW)
    again = live_at_once(live, msgspec.structs.replace(NEW, verdict="3" * 64))
    assert again.previous == OLD


def test_a_canary_as_live_keeps_its_proof() -> None:
    canary = Canary(
        release="a", verdict="v", unproven="", stages=(1.0,), began_ms=1, stage_began_ms=1, lease_until_ms=1
    )
    assert canary.as_live == Live(release="a", verdict="v")
