"""The USB latency timer, on a made-up sysfs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from robot_runtime.bus.latency_timer import prepare_latency_timer


def sysfs(tmp_path: Path, value: str) -> Path:
    folder = tmp_path / "class" / "tty" / "ttyUSB0" / "device"
    folder.mkdir(parents=True)
    (folder / "latency_timer").write_text(value)
    return folder / "latency_timer"


def test_a_slow_timer_is_set_to_1_ms(tmp_path: Path) -> None:
    file = sysfs(tmp_path, "16\n")
    timer = prepare_latency_timer("/dev/ttyUSB0", None, tmp_path)
    assert (timer.milliseconds, timer.advice, timer.seconds) == (1, None, 0.001)
    assert file.read_text() == "1"


def test_the_drivers_own_switch_is_tried_first(tmp_path: Path) -> None:
    file = sysfs(tmp_path, "16\n")

    class Port:
        def set_low_latency_mode(self, enable: bool) -> None:
            file.write_text("1\n" if enable else "16\n")
            file.chmod(0o400)

    port: Any = Port()
    assert prepare_latency_timer("/dev/ttyUSB0", port, tmp_path).milliseconds == 1


def test_where_nothing_helps_the_advice_names_the_file(tmp_path: Path) -> None:
    file = sysfs(tmp_path, "16\n")
    file.unlink()
    file.mkdir()  # cannot be written, nor read: as if it belonged to root
    assert prepare_latency_timer("/dev/ttyUSB0", None, tmp_path).milliseconds is None

    class Stubborn(type(file)):  # type: ignore[misc]
        def read_text(self, *args: Any, **kwargs: Any) -> str:
            return "16\n" if self.name == "latency_timer" else super().read_text(*args, **kwargs)

        def write_text(self, *args: Any, **kwargs: Any) -> int:
            raise PermissionError(13, "not yours")

    timer = prepare_latency_timer("/dev/ttyUSB0", None, Stubborn(tmp_path))
    assert timer.milliseconds == 16
    assert timer.seconds == 0.016
    assert timer.advice is not None
    assert "latency_timer" in timer.advice
    assert "udev" in timer.advice


def test_a_port_without_the_timer_is_taken_for_one_usb_frame(tmp_path: Path) -> None:
    timer = prepare_latency_timer("/dev/ttyACM0", None, tmp_path)
    assert (timer.milliseconds, timer.advice, timer.seconds) == (None, None, 0.001)
