"""What the first use costs: CPU seconds of new processes with an empty cache, and a full one.

    python -m coverage_studies.first_use [--against FOLDER] [--repeats 3] [--demo]

FOLDER holds another state of the package, for example
``git archive REVISION rsverify | tar -x -C FOLDER``; both take turns in one run. CPU time of a
process and its children, the smallest of `repeats`; the number of compilations; then the run time
of compiled bounds, per call, the smallest of several processes. All goes to
``results/first_use.json`` after each turn.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numba

RESULTS = Path(__file__).parent / "results" / "first_use.json"
HERE = Path(__file__).resolve().parents[1]
Numbers = dict[str, dict[str, float]]
Several = dict[str, list[Numbers]]
FIRST_USES = {
    "exact bound, difference": (
        "import rsverify\nrsverify.exact_margin_lower(600, 50, 1000, 0.001, estimand='difference')"
    ),
    "exact bound, probit": (
        "import rsverify\nrsverify.exact_margin_lower(600, 50, 1000, 0.001, estimand='probit')"
    ),
    "betting bound": (
        "import rsverify, numpy\nrsverify.betting_lower(numpy.linspace(0, 1, 100), 0.05)"
    ),
    "exact audit": (
        "import rsverify\n"
        "rsverify.audit('bonferroni_margin_lower', estimand='difference', n=20, alpha=0.05)"
    ),
}
COUNTING = """
import atexit
from numba.core import event
done = []
class Listener(event.Listener):
    def on_start(self, given): done.append(1)
    def on_end(self, given): pass
event.register("numba:compile", Listener())
atexit.register(lambda: print(len(done)))
"""
SPEED = """
import json, time, numpy as np, rsverify as r
rng = np.random.default_rng(0)
points = [(60000, 5000), (90000, 5000), (60000, 25000), (99000, 300), (50000, 10000)]
k, x = rng.integers(0, 100_000, 3000), rng.beta(5, 1, (40, 2000))
binary = (rng.random((20, 1000)) < 0.9).astype(float)
calls = {
    "Clopper-Pearson, 3,000 rows": lambda: r.clopper_pearson_lower(k, 100_000, 0.001),
    "betting, 40 x 2,000": lambda: r.betting_lower(x, 0.05),
    "betting, binary, 20 x 1,000": lambda: r.betting_lower(binary, 0.05),
    "predictable plug-in, 40 x 2,000": lambda: r.plugin_bernstein_lower(x, 0.05),
    "betting sequence, 4 x 500": lambda: r.betting_sequence(x[:4, :500], 0.05),
}
for e in ("difference", "probit"):
    calls[f"exact {e}, 5 rows of 100,000"] = lambda e=e: [
        r.exact_margin_lower(a, b, 100_000, 0.001, estimand=e) for a, b in points
    ]
    calls[f"Bonferroni {e}, 3,000 rows"] = lambda e=e: r.bonferroni_margin_lower(
        k, (100_000 - k) // 2, 100_000, 0.001, estimand=e
    )
spent = {}
for name, call in calls.items():
    call()
    times = []
    for _ in range(40):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    spent[name] = 1e3 * min(times)
print(json.dumps(spent))
"""


def ran(command: list[str], package: Path, cache: Path) -> tuple[float, str]:
    """Return the CPU seconds of a process with its children, and what it prints."""
    environment = os.environ | {
        "PYTHONPATH": str(package),
        "NUMBA_CACHE_DIR": str(cache),
        "OMP_NUM_THREADS": "1",
    }
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, *command],
        env=environment,
        cwd=cache.parent,
        check=True,
        capture_output=True,
        text=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, done.stdout


def uses(package: Path, demo: bool) -> Numbers:
    """Return CPU seconds, first and second use, and compilations of each program, run once."""
    found: Numbers = {}
    programs = {name: ["-c", COUNTING + code] for name, code in FIRST_USES.items()}
    if demo:
        programs["demo"] = ["-m", "rsverify", "demo"]
    for name, command in programs.items():
        with tempfile.TemporaryDirectory() as folder:
            cache = Path(folder) / "cache"
            cache.mkdir()
            cold, told = ran(command, package, cache)
            shutil.rmtree(Path(folder) / "demo", ignore_errors=True)
            warm, _ = ran(command, package, cache)
            found[name] = {"first": cold, "second": warm}
            if name != "demo":
                found[name]["compilations"] = int(told.split()[-1])
    return found


def least(several: list[Numbers]) -> Numbers:
    """Return the smallest of each number."""
    every: Numbers = {}
    for one in several:
        for name, numbers in one.items():
            known = every.setdefault(name, {})
            for key, value in numbers.items():
                known[key] = round(min(value, known.get(key, value)), 3)
    return every


def write(first: Several, speed: Several) -> None:
    """Write what was found so far."""
    result = {
        "python": platform.python_version(),
        "numba": numba.__version__,
        "processor": platform.processor() or platform.machine(),
        "load": os.getloadavg()[0],
        "first use, CPU seconds": {name: least(each) for name, each in first.items()},
        "run time": {name: least(each) for name, each in speed.items()},
    }
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Measure the packages in turn and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", type=Path, help="folder that holds another rsverify")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--demo", action="store_true", help="the demo too, a minute each time")
    options = parser.parse_args()
    packages = {"now": HERE}
    if options.against:
        packages["before"] = options.against.resolve()
    first: Several = {name: [] for name in packages}
    speed: Several = {name: [] for name in packages}
    for turn in range(options.repeats):
        for name, package in packages.items():
            first[name].append(uses(package, options.demo and turn == 0))
            with tempfile.TemporaryDirectory() as folder:
                cache = Path(folder) / "cache"
                told = [ran(["-c", SPEED], package, cache)[1] for _ in range(2)]
            speed[name] += [{k: {"ms": v} for k, v in json.loads(t).items()} for t in told]
            print(turn, name, first[name][-1], flush=True)
        write(first, speed)


if __name__ == "__main__":
    main()
