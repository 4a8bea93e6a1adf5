"""Alternating pairs: runs calmvae and a peer in turn, and says how many times faster, with the spread.

Two runs one after the other share the machine's mood, so the ratio is taken within a pair, and the order within a
pair changes from one to the next. What is reported is the median of the pairs' ratios, peer over calmvae: above 1,
calmvae takes less.

Wall time, CPU time and peak memory of a command come from a launcher of its own: the kernel counts what a process
held before `exec` towards its peak, so a child of a large Python would seem as large as its parent. The peak is that
of the largest process under the command, not the sum of several.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import TypeVar

_T = TypeVar("_T")
HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
CALMVAE = (sys.executable, "-c", "import sys; from calmvae.cli.app import main; sys.exit(main())")
_LAUNCHER = """
import json, os, sys, time
report, *command = sys.argv[1:]
began = time.perf_counter()
_, status, used = os.wait4(os.posix_spawnp(command[0], command, os.environ), 0)
wall = time.perf_counter() - began
peak = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
with open(report, "w") as file:
    json.dump([wall, used.ru_utime + used.ru_stime, peak, os.waitstatus_to_exitcode(status)], file)
"""
# What a shell may have set for its own reasons and no user's shell has. The last two choose slower kernels for numpy.
_NOT_OURS = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "TF_USE_LEGACY_KERAS")
_KERNELS = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of a command: seconds of wall and CPU time, peak memory in MB, what it printed."""

    wall: float
    cpu: float
    peak: float
    out: str


@dataclasses.dataclass
class Pairs:
    """Measurements of calmvae and a peer, pair by pair; less is better."""

    name: str
    ours: list[float]
    theirs: list[float]
    unit: str = "s"

    @property
    def ratios(self) -> list[float]:
        """Peer over calmvae, of each pair."""
        return [theirs / ours for ours, theirs in zip(self.ours, self.theirs, strict=True)]

    def row(self) -> str:
        """A line of the table of `HEADER`."""
        ratios = self.ratios
        ours, theirs = (number(statistics.median(v)) for v in (self.ours, self.theirs))
        spread = f"{number(min(ratios))}..{number(max(ratios))}"
        return (
            f"| {self.name} | {ours} {self.unit} | {theirs} {self.unit} | {number(statistics.median(ratios))} "
            f"| {spread} | {len(ratios)} |"
        )


HEADER = "| what | calmvae | peer | ratio | spread | pairs |\n|---|---|---|---|---|---|"


def number(value: float) -> str:
    """Three figures, without an exponent."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def run(command: Iterable[str | Path], ours: bool, cwd: Path | None = None, codes: tuple[int, ...] = (0,)) -> Run:
    """Runs a command and measures it; ends the benchmark when it fails.

    Args:
      command: what to run.
      ours: with calmvae's checkout on its path; otherwise without.
      cwd: where.
      codes: exit codes that are no failure.
    """
    arguments = [str(part) for part in command]
    with tempfile.TemporaryDirectory() as folder:
        report, out, err = (Path(folder) / name for name in ("report", "out", "err"))
        with open(out, "wb") as stdout, open(err, "wb") as stderr:
            subprocess.run(
                [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(report), *arguments],
                cwd=cwd,
                env=environment(ours),
                stdout=stdout,
                stderr=stderr,
                check=False,
            )
        said = err.read_text(errors="replace").strip()
        if not report.exists():
            sys.exit(f"could not start {arguments[0]}: {said[-300:]}")
        wall, cpu, peak, code = json.loads(report.read_text())
        if code not in codes:
            sys.exit(f"{' '.join(arguments)[:300]} ended with code {code}: {said[-1500:]}")
        return Run(wall, cpu, peak, out.read_text(errors="replace"))


def environment(ours: bool) -> dict[str, str]:
    """The environment for a child of calmvae's or of the peer's."""
    dropped = _NOT_OURS + (_KERNELS if ours else ())
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return kept | ({"PYTHONPATH": str(ROOT)} if ours else {})


def alternate(ours: Callable[[], _T], theirs: Callable[[], _T], n: int, warm: int = 1) -> list[tuple[_T, _T]]:
    """Calls both `n` times in turn, after `warm` calls that do not count (file cache, bytecode)."""
    for _ in range(warm):
        ours()
        theirs()
    found = []
    for k in range(n):
        if k % 2:
            second = theirs()
            found.append((ours(), second))
        else:
            first = ours()
            found.append((first, theirs()))
    return found


def seconds(work: Callable[[], object]) -> float:
    """How long a call takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def command_rows(name: str, runs: list[tuple[Run, Run]]) -> list[Pairs]:
    """Wall time, CPU time and peak memory of pairs of commands."""
    return [
        Pairs(f"{name}, {what}", [getattr(a, field) for a, _ in runs], [getattr(b, field) for _, b in runs], unit)
        for what, field, unit in (("wall time", "wall", "s"), ("CPU time", "cpu", "s"), ("peak memory", "peak", "MB"))
    ]


def add_options(parser: argparse.ArgumentParser, pairs: int, stock: bool = True) -> None:
    """`--pairs` and, with a stock Magenta for a peer, `--stock`."""
    parser.add_argument("--pairs", type=int, default=pairs, help=f"how many pairs, default {pairs}")
    if stock:
        parser.add_argument("--stock", type=Path, default=ROOT / ".stock" / "venv", help="stock Magenta's environment")


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The options, checked as far as they are the same in every benchmark."""
    options = parser.parse_args()
    if options.pairs < 1:
        sys.exit(f"--pairs is {options.pairs}; 1 or more are needed.")
    return options


def start(main: Callable[[], object]) -> None:
    """Runs a benchmark; what calmvae finds wrong ends it in a sentence."""
    from calmvae.common.errors import CalmvaeError

    try:
        main()
    except CalmvaeError as error:
        sys.exit(str(error))


def stock_python(venv: Path, compiled: bool = True) -> Path:
    """The Python of stock's environment.

    Args:
      venv: the environment.
      compiled: ask that both environments hold compiled bytecode, as pip leaves them, for the sake of import times.
    """
    # Not resolved: the interpreter behind the link does not see the environment's packages.
    python = Path(os.path.abspath(venv)) / "bin" / "python"
    if not python.exists():
        sys.exit(f"no stock Magenta at {venv}; build it with benchmarks/stock_env.sh, or name another with --stock.")
    if compiled:
        check_bytecode(python)
        check_bytecode(Path(sys.executable))
    return python


def check_bytecode(python: Path) -> None:
    """Ends the benchmark when TensorFlow's modules would be compiled at every start."""
    code = (
        "import importlib.util as u, os, sys; s = u.find_spec('tensorflow'); "
        "sys.exit(s is None or not os.path.exists(u.cache_from_source(s.origin)))"
    )
    if subprocess.run([str(python), "-c", code], env=environment(False), check=False).returncode:
        sys.exit(
            f"the packages of {python} are not compiled, which would make its start seem slow; "
            f"compile them with: {python} -m compileall -q SITE-PACKAGES"
        )


def versions_of(python: Path, names: tuple[str, ...] = ("tensorflow", "magenta", "note-seq", "numpy")) -> str:
    """Versions of packages in an environment, without importing them."""
    code = (
        "import platform, sys\nfrom importlib.metadata import version\n"
        "print('Python', platform.python_version(), *(f', {n} {version(n)}' for n in sys.argv[1:]), sep=' ')"
    )
    done = subprocess.run([str(python), "-c", code, *names], env=environment(False), capture_output=True, text=True)
    return done.stdout.strip().replace(" ,", ",") or "versions unknown"


def machine() -> str:
    """The machine's class, in words."""
    info: dict[str, str] = {}
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            info.setdefault(key.strip(), value.strip())
    except OSError:
        info["model name"] = platform.processor()
    flags = info.get("flags", "").split()
    told = " ".join(flag for flag in ("avx2", "fma", "avx512f", "amx_tile") if flag in flags)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cpu = f"{info.get('model name', 'CPU')} family {info.get('cpu family', '?')}"
    load = os.getloadavg()[0]
    kernels = " ".join(f"{n}={os.environ[n]}" for n in _KERNELS if n in os.environ)
    return f"{cpu} ({told}), {cores} cores, {platform.system()} {platform.machine()}, load {load:.1f} at the start" + (
        f"; {kernels} was set, which slows numpy in this process" if kernels else ""
    )


def heading(title: str, peers: Mapping[str, str] | None = None) -> str:
    """What stands above a table: title, date, machine, versions."""
    import calmvae

    ours = f"calmvae {calmvae.__version__} on Python {platform.python_version()}"
    for name in ("tensorflow", "numpy"):
        try:
            ours += f", {name} {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            continue
    lines = [f"**{title}** ({time.strftime('%Y-%m-%d')}; {machine()}; {ours}"]
    lines += [f"{name}: {said}" for name, said in (peers or {}).items()]
    return "; ".join(lines) + ")\n"


def report(title: str, rows: Iterable[Pairs], peers: Mapping[str, str] | None = None) -> None:
    """Prints heading and table."""
    print(heading(title, peers), HEADER, *(row.row() for row in rows), sep="\n", flush=True)
