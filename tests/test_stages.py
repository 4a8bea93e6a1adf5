"""Every command of own_model/COMMANDS.md: it runs, prints what the page says and makes what is kept beside it.

What is not marked `text approximate` is held to the byte: with the loops of OpenBLAS and numpy for SSE, for AVX2 and
for AVX-512 it came out the same. What is fitted or trained first did not.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT
from tools import notebooks, stages

TEXT = stages.PAGE.read_text(encoding="utf-8")
STAGES = stages.stages(TEXT)
EXACT = [stage for stage in STAGES if not stage.approximate]
RESULTS = stages.results(TEXT)
AGAIN = "run: python -m tools.stages --exact"
UNSEEN = ("sample", "reconstruct", "interpolate", "calm", "journey")


def quick(words: list[str]) -> list[str]:
    """A command with less to do: no picture and sound, a few steps."""
    words = list(words)
    if "--steps" in words and words[0] in ("train", "grow"):
        words[words.index("--steps") + 1] = "2"
    more = {
        "train": ["--eval-every", "2", "--save-every", "2"],
        "evaluate": ["--samples", "20", "--paths", "2"],
    }
    return [*words, *more.get(words[0], ["--no-picture", "--no-sound"] if words[0] in UNSEEN else [])]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The folder in which all of them ran, and what each stage printed."""
    folder = tmp_path_factory.mktemp("stages")
    return folder, stages.run(STAGES, folder, quick)


@pytest.mark.slow
def test_every_command_runs_and_prints_what_the_page_says(ran):
    _, printed = ran
    for stage, said in zip(STAGES, printed, strict=True):
        if stage.approximate:
            assert said
        else:
            assert said == stage.printed, AGAIN


@pytest.mark.slow
def test_results_come_out_as_they_are_kept(ran):
    folder, _ = ran
    compared = [r for r in RESULTS if not r.endswith(".png") and any(stage.makes(r) for stage in EXACT)]
    assert {Path(result).parts[1] for result in compared} > {"sample", "reconstruct", "travel", "calm-70", "journey"}
    for result in compared:
        made = folder / "out" / Path(result).relative_to("results")
        assert made.read_bytes() == (ROOT / "own_model" / result).read_bytes(), f"{result}: {AGAIN}"


def test_every_result_is_of_one_stage_and_small():
    files = [file for file in stages.RESULTS.rglob("*") if file.is_file()]
    assert sorted(str(file.relative_to(stages.PAGE.parent)) for file in files) == RESULTS
    assert all(sum(stage.makes(result) for stage in STAGES) == 1 for result in RESULTS)
    assert all(file.stat().st_size < 60_000 for file in files)
    assert sum(file.stat().st_size for file in files) < 1_200_000


def test_every_command_that_makes_music_has_a_result():
    for stage in STAGES:
        for words in stage.commands:
            if words[0] in UNSEEN:
                assert any(stages.Stage([words], "", False).makes(result) for result in RESULTS), words


def test_nothing_printed_is_of_one_machine():
    for stage in STAGES:
        assert stage.printed and not any(place in stage.printed for place in (str(ROOT), "/tmp", "/root", "/home"))


def test_a_page_is_read_and_filled():
    text = (
        "# A\n\n```\ncalmvae a 'b c' \\\n    -o out/d\ncalmvae e\n```\n\n```text\nold\n```\n\n[x](results/d/f.mid)\n\n"
        "![](results/d/g.png) [](#a)\n\n```\ncalmvae h -o out/d-2\n```\n\n```text approximate\n```\n"
    )
    first, second = stages.stages(text)
    assert first.commands == [["a", "b c", "-o", "out/d"], ["e"]] and second.commands == [["h", "-o", "out/d-2"]]
    assert (first.printed, first.approximate, second.approximate) == ("old\n", False, True)
    assert stages.results(text) == ["results/d/f.mid", "results/d/g.png"]
    assert first.makes("results/d/f.mid") and not second.makes("results/d/f.mid")
    again = stages.filled(text, ["new\\1\n", "more\n"])
    assert again == text.replace("old\n", "new\\1\n").replace("approximate\n", "approximate\nmore\n")
    assert stages.filled(again, ["old\n", ""]) == text


@pytest.mark.parametrize("lines", ["calmvae a\n```\n", "ls\n```\n\n```text\n```\n", "```\n\n```text\n```\n"])
def test_a_block_without_what_it_printed_or_of_other_commands_is_refused(lines):
    with pytest.raises(ValueError, match="not commands of calmvae"):
        stages.stages(f"```\n{lines}")


def test_what_is_printed_goes_in_without_progress_and_with_the_middle_left_out():
    assert stages._shortened("a\nfitting: 1170 of 1500\nb\n") == "a\nb\n"
    lines = [f"line {k}\n" for k in range(40)]
    assert stages._shortened("".join(lines[:14])) == "".join(lines[:14])
    assert stages._shortened("".join(lines)) == "".join([*lines[:10], "...\n", *lines[-3:]])


def test_a_command_that_fails_is_named(tmp_path):
    with pytest.raises(RuntimeError, match=r"(?s)calmvae calm none.mid ended with 2:.*none.mid"):
        stages.run([stages.Stage([["calm", "none.mid"]], "", False)], tmp_path)


def test_pictures_are_made_small_and_keep_their_colours():
    image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    pixels = np.full((900, 1200, 3), 255, np.uint8)
    # Many shades of grey, as letters have, and two small patches of colour, as a legend has.
    pixels[:300] = rng.integers(0, 256, (300, 1200, 1))
    pixels[400:410, :10], pixels[400:410, 20:30] = (213, 94, 0), (0, 158, 115)
    pixels[:300, :, 2] = 255 - pixels[:300, :, 2] // 4
    whole = io.BytesIO()
    image.fromarray(pixels).save(whole, "PNG")
    made = notebooks.small_png(whole.getvalue())
    assert len(made) <= notebooks.MOST_BYTES < len(whole.getvalue())
    pixels[:300] = 255
    whole = io.BytesIO()
    image.fromarray(pixels).save(whole, "PNG")
    found = np.asarray(image.open(io.BytesIO(notebooks.small_png(whole.getvalue()))).convert("RGB"))
    assert (found == pixels).all()
