"""Line numbers of TOML keys."""

from __future__ import annotations

from robot_runtime.toml_lines import TomlLines

TEXT = """\
top = 1

[a]
x = 1
y = { p = 1, q = 2 }  # z = 9

[[b]]
x = 1
[[b]]
long = {
  inner = 3,
}
[c.d]
"quoted key" = 1
"""


def test_lines() -> None:
    lines = TomlLines(TEXT)
    assert lines.line(("top",)) == 1
    assert lines.line(("a", "x")) == 4
    assert lines.line(("a", "y", "q")) == 5
    assert lines.line(("a", "z")) == 3  # in a comment: not a key, so the table's line
    assert lines.line(("b", 0, "x")) == 8
    assert lines.line(("b", 1, "x")) == 9
    assert lines.line(("c", "d")) == 13
    assert lines.line(("nowhere", "at", "all")) is None


def test_tables_inside_arrays_long_strings_and_hashes_in_strings() -> None:
    lines = TomlLines(
        '[[joint]]\nname = "a # not a comment = 1"\n[joint.limits]\ntorque = 1\n[[joint]]\n[joint.limits]\ntorque = 2\n'
        '[arm]\nnote = """\n[bus]\nbaudrate = 1\n"""\nafter = 1\n[bus]\nbaudrate = 2\n'
    )
    assert lines.line(("joint", 0, "limits", "torque")) == 4
    assert lines.line(("joint", 1, "limits", "torque")) == 7
    assert lines.line(("arm", "after")) == 13
    assert lines.line(("bus", "baudrate")) == 15
