"""What commands print."""

from __future__ import annotations

import shlex
from pathlib import Path

from calmvae.common import text


def test_one_thing_is_one():
    said = [text.count(n, "held-out piece") for n in (0, 1, 2)]
    assert said == ["0 held-out pieces", "1 held-out piece", "2 held-out pieces"]


def test_a_command_can_be_typed():
    said = text.command("sample", "--model", Path("my models/it's"), "-n", 1)
    assert shlex.split(said) == ["calmvae", "sample", "--model", "my models/it's", "-n", "1"]
    assert text.command("sample", "--model", "out/run") == "calmvae sample --model out/run"


def test_markdown():
    assert text.markdown(("a", "b")) == "| a | b |\n|---|---|"
    assert text.markdown(["a", "b"], [["1", "x"], ["2", ""]]) == "| a | b |\n|---|---|\n| 1 | x |\n| 2 |  |"
