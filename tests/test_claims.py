"""Every claim in a document is what was measured; short measurements are repeated and give the same."""

from __future__ import annotations

import json

import pytest

from calmvae.cli import quoted_results
from tests.conftest import ROOT
from tools import claims

RECORDS = quoted_results.names()
# Those that need no corpus, no stock Magenta and no hours.
HERE = [name for name in RECORDS if not quoted_results.record(name)["needs"]]


def test_documents_say_what_was_measured():
    listed, known = claims.claims(), {name: quoted_results.result(name) for name in RECORDS}
    assert claims.check(claims.documents(listed), listed, known) == []


def test_every_record_is_quoted_and_says_where_it_is_from():
    assert {claim.record for claim in claims.claims()} == set(RECORDS)
    for name in RECORDS:
        made = quoted_results.record(name)
        assert set(made) == {"command", "date", "needs", "tolerance", "gives"}, name
        text = json.dumps(made)
        assert str(ROOT) not in text and '"/' not in text, f"{name} names a place of one machine"


@pytest.mark.slow
@pytest.mark.parametrize("name", HERE)
def test_measured_again(name):
    made = quoted_results.record(name)
    found = claims.differences(made["gives"], claims.measure(made["command"], {}), made["tolerance"])
    assert found == [], f"{name} is no longer what was measured; python -m tools.claims --run {name}"


def test_enough_is_measured_again():
    assert len(HERE) >= 5


GIVES = {
    "a": {"accuracy": 0.9604, "windows": 36412, "loss": -0.25},
    "rows": [{"x": "1", "y": 2.5}, {"x": "3", "y": 4.0}],
}
DOCUMENT = "It is right\nat .960 of the steps, 36,412 windows.\n\n| 1 | 2.5 |\n| 3 | 4.0 |\n\nOn Python `3.11`.\n"
CLAIMS = [
    claims.Claim("m", ["d"], "at {a/accuracy:3} of the steps, {a/windows:,} windows"),
    claims.Claim("m", ["d"], "| {rows/0/x} | {rows/0/y:f1} |\n| {rows/1/x} | {rows/1/y:f1} |"),
]


def test_a_document_that_says_it_holds():
    assert claims.check({"d": DOCUMENT}, CLAIMS, {"m": GIVES}) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (".960", ".961", "at .960 of the steps, 36,412 windows"),
        ("36,412", "36,413", "at .960 of the steps, 36,412 windows"),
        ("| 3 | 4.0 |", "| 3 | 4.1 |", "| 1 | 2.5 |\n| 3 | 4.0 |"),
    ],
)
def test_a_document_that_says_something_else_is_found(old, new, said):
    wrong = claims.check({"d": DOCUMENT.replace(old, new)}, CLAIMS, {"m": GIVES})
    assert wrong == [f"d does not say what own_model/measured/m.json says: {said}"]


@pytest.mark.parametrize(("text", "holds"), [("took 1.5 s", True), ("took 11.5 s", False), ("took 1.51 s", False)])
def test_a_figure_is_a_whole_number_of_the_document(text, holds):
    for template in ("{v:f1}", "took {v:f1}", "{v:f1} s"):
        wrong = claims.check({"d": text}, [claims.Claim("m", ["d"], template)], {"m": {"v": 1.5}})
        assert (wrong == []) == holds, template


def test_a_record_that_is_missing_is_found():
    wrong = claims.check({"d": DOCUMENT}, CLAIMS[:1], {})
    assert wrong == ["own_model/measured/m.json is missing; d should quote it."]


def test_a_claim_of_what_was_not_measured_is_an_error():
    with pytest.raises(KeyError, match="a/none: no none"):
        claims.check({"d": DOCUMENT}, [claims.Claim("m", ["d"], "{a/none}")], {"m": GIVES})


def test_measuring_again_stores_the_record_and_leaves_the_document(tmp_path, monkeypatch, capsys):
    record = {"command": "python -c \"print('it took 2.5 s')\"", "date": "2020-01-01", "needs": "", "tolerance": 0.0}
    (tmp_path / "m.json").write_text(json.dumps({**record, "gives": {"tables": [], "lines": ["it took 1.5 s"]}}))
    (tmp_path / "d.md").write_text("Here it took 1.5 s.\n")
    monkeypatch.setattr(quoted_results, "folder", lambda: tmp_path)
    monkeypatch.setattr(claims, "ROOT", tmp_path)
    monkeypatch.setattr(claims, "claims", lambda: [claims.Claim("m", ["d.md"], "{lines/0}")])
    assert claims.main([]) == 0
    assert claims.main(["--run", "m"]) == 1
    assert (
        quoted_results.result("m")["lines"] == ["it took 2.5 s"] and quoted_results.record("m")["date"] > "2020-01-01"
    )
    assert (tmp_path / "d.md").read_text() == "Here it took 1.5 s.\n"
    assert "d.md does not say what own_model/measured/m.json says: it took 2.5 s" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("value", "spec", "text"),
    [
        (0.9604, "3", ".960"),
        (1.0, "3", "1.000"),
        (-0.25, "2", "-.25"),
        (36412, ",", "36,412"),
        (0.005, "%1", "0.5%"),
        (0.9604, "p1", "96.0 %"),
        (0.9604, "p", "96 %"),
        (1.604, "+2", "+1.60"),
        (84.63, "f1", "84.6"),
        (4.326, "g3", "4.33"),
        (108.7, "g3", "109"),
        (4758618, "M1", "4.8"),
        ("0.21 s", "", "0.21 s"),
    ],
)
def test_values_as_documents_write_them(value, spec, text):
    assert claims.formatted(value, spec) == text


def test_tables_and_lines_of_an_output():
    found = claims.printed("a title\n\n| a | b |\n|---|---:|\n| 1 | x y |\n| 2 |  |\n\n| c |\n|---|\n| 3 |\nthe end\n")
    assert found == {
        "tables": [[{"a": "1", "b": "x y"}, {"a": "2", "b": ""}], [{"c": "3"}]],
        "lines": ["a title", "the end"],
    }


def test_differences_by_a_share():
    old = {"a": [1.0, 200], "b": "took 1.50 s for 2,000"}
    assert claims.differences(old, {"a": [1.005, 201], "b": "took 1.51 s for 2,001"}, 0.01) == []
    assert claims.differences(old, {"a": [1.02, 200], "b": "took 1.50 s for 2,000"}, 0.01) == ["/a/0: 1.02, was 1.0"]
    assert len(claims.differences(old, {"a": [1.0, 200], "b": "took 1.50 s for 3,000"}, 0.01)) == 1
    assert claims.differences(old, {"a": [1.0], "b": ""}, 0.01) != []
    assert claims.differences({"a": True}, {"a": False}, 0.5) != []


def test_json_is_kept_without_what_is_of_one_machine():
    given = {"versions": {}, "model": {"source": "/x", "sha256": "ab"}, "v": [1 / 3, 2, True, None]}
    assert claims.kept(given) == {"model": {"sha256": "ab"}, "v": [0.333333, 2, True, None]}


def test_a_command_that_fails_says_so():
    with pytest.raises(RuntimeError, match=r"nowhere"):
        claims.measure("calmvae score nowhere.mid", {})
