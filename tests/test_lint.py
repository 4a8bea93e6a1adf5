"""ruff, mypy and import-linter find nothing, and .pre-commit-config.yaml runs the same commands, fetching nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT

CONFIG = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
HOOKS = {hook["id"]: hook for repository in CONFIG["repos"] for hook in repository["hooks"]}


def test_hooks_are_local():
    assert [repository["repo"] for repository in CONFIG["repos"]] == ["local"]
    assert set(HOOKS) == {"ruff-check", "ruff-format", "mypy", "lint-imports"}
    assert all(hook["language"] == "system" and not hook["pass_filenames"] for hook in HOOKS.values())


@pytest.mark.parametrize("name", HOOKS)
def test_passes(name):
    program, *arguments = HOOKS[name]["entry"].split()
    assert program in (".venv/bin/python", ".venv/bin/lint-imports")
    here = Path(sys.executable).with_name(Path(program).name)
    done = subprocess.run([here, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr


def test_modules_and_functions_are_short():
    """A module has at most 400 lines, a function at most 60."""
    long = []
    for path in sorted((ROOT / "calmvae").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        long += [path.name] if len(text.splitlines()) > 400 else []
        functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
        long += [f"{path.name}: {f.name}" for f in functions if (f.end_lineno or 0) - f.lineno + 1 > 60]
    assert not long
