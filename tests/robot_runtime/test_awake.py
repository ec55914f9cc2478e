"""What keeps a processor awake, against files that stand in for the kernel's."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from robot_runtime.realtime.awake import LONGEST, clock_rate, short_sleeps


@pytest.mark.parametrize(("driver", "longest"), [("intel_idle", LONGEST), ("haltpoll", 0), (None, LONGEST)])
def test_sleeps_are_short_for_as_long_as_the_file_is_open(tmp_path: Path, driver: str | None, longest: int) -> None:
    device, undo = tmp_path / "cpu_dma_latency", list[Callable[[], object]]()
    device.touch()
    if driver is not None:
        (tmp_path / "driver").write_text(driver + "\n")
    fact = short_sleeps(undo, device, tmp_path / "driver")
    assert fact.got
    assert device.read_bytes() == struct.pack("=i", longest)
    [close] = undo
    close()
    with pytest.raises(OSError, match="descriptor"):
        close()  # it was closed


def test_who_may_not_ask_is_told_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    undo: list[Callable[[], object]] = []
    missing = short_sleeps(undo, tmp_path / "nowhere")
    assert not missing.got
    assert "No such file" in missing.detail
    assert "--device" in missing.advice

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    refused = short_sleeps(undo, tmp_path)
    assert "Permission denied" in refused.detail
    assert "udev" in refused.advice
    assert not undo


def test_a_value_that_is_not_taken_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(22, "Invalid argument")

    device, undo = tmp_path / "cpu_dma_latency", list[Callable[[], object]]()
    device.touch()
    monkeypatch.setattr(os, "write", refuse)
    fact = short_sleeps(undo, device)
    assert not fact.got
    assert "Invalid argument" in fact.detail
    undo.pop()()


def govern(folder: Path, *governors: str) -> None:
    for core, governor in enumerate(governors):
        file = folder / f"cpu{core}" / "cpufreq" / "scaling_governor"
        file.parent.mkdir(parents=True)
        file.write_text(governor + "\n")


def test_a_clock_that_follows_the_load_is_told(tmp_path: Path) -> None:
    assert clock_rate([0, 1], tmp_path) is None
    govern(tmp_path, "performance", "performance", "ondemand", "schedutil")
    steady = clock_rate([0, 1], tmp_path)
    assert steady is not None
    assert steady.got
    varies = clock_rate([1, 2, 3], tmp_path)
    assert varies is not None
    assert not varies.got
    assert "ondemand, schedutil" in varies.detail
    assert "scaling_governor" in varies.advice
