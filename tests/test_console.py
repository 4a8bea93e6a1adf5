"""What commands print."""

from __future__ import annotations

import shlex
from pathlib import Path

from calmvae import console


def test_one_thing_is_one():
    said = [console.count(n, "held-out piece") for n in (0, 1, 2)]
    assert said == ["0 held-out pieces", "1 held-out piece", "2 held-out pieces"]


def test_a_command_can_be_typed():
    said = console.command("sample", "--model", Path("my models/it's"), "-n", 1)
    assert shlex.split(said) == ["calmvae", "sample", "--model", "my models/it's", "-n", "1"]
    assert console.command("sample", "--model", "out/run") == "calmvae sample --model out/run"


def test_markdown():
    assert console.markdown(("a", "b")) == "| a | b |\n|---|---|"
    assert console.markdown(["a", "b"], [["1", "x"], ["2", ""]]) == "| a | b |\n|---|---|\n| 1 | x |\n| 2 |  |"
