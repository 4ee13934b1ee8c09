"""How many small changes to the code its own tests notice (mutation testing).

Each mutant is one change to one function: another operator, number, argument, branch or constant. The changes are mutmut's.
pytest collects and runs the tests of each module once; then for every mutant a fork of that process puts the
changed function in place and runs the tests that call it until one fails. So a mutant costs milliseconds beside
its tests, and what modules cost to import is paid once.

Words of error messages and warnings are not changed, nor what runs on import; tests that run in other processes kill nothing.

    python benchmarks/mutants.py --sample 30 --seed 0
    python benchmarks/mutants.py src/recon_anomaly/thresholds.py
"""

import argparse
import difflib
import importlib
import inspect
import math
import os
import random
import resource
import sys
import threading
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType

import libcst
import pytest
from _pytest.runner import runtestprotocol
from _pytest.warnings import catch_warnings_for_item
from libcst.metadata import MetadataWrapper
from mutmut.mutation.file_mutation import MutationVisitor
from mutmut.mutation.mutators import mutation_operators
from mutmut.mutation.pragma_handling import get_ignored_lines

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "recon_anomaly"
NAMES = "thresholds conformal tails promises metrics ramps decisions resampling pixelmetrics weighting registry saving"
MODULES = [PACKAGE / f"{name}.py" for name in NAMES.split()]
MODULES += [
    path
    for folder in ("schedules", "scorers")
    for path in sorted((PACKAGE / folder).glob("[!_]*.py"))
]
MESSAGES = ("Error", "Warning", "warn")
KILLED, SURVIVED, UNREACHED = "killed", "survived", "not reached"


@dataclass
class Mutant:
    """One change: the module, the function that it is in, and the source with it."""

    path: Path
    function: str
    before: str
    after: str

    def __str__(self):
        lines = difflib.unified_diff(
            self.before.splitlines(), self.after.splitlines(), lineterm="", n=0
        )
        changed = [line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---")]
        return "\n".join([f"{self.path.relative_to(ROOT)} {self.function}", *changed])


class Changes(MutationVisitor):
    """mutmut's changes, those of decorated functions too, and none to what a message says."""

    def _skip_node_and_children(self, node):
        if isinstance(node, libcst.FunctionDef):
            return False
        if isinstance(node, (libcst.BaseString, libcst.FormattedString)) and self.spoken:
            return True
        return super()._skip_node_and_children(node)

    spoken = 0

    def on_visit(self, node):
        self.spoken += _speaks(node)
        return super().on_visit(node)

    def on_leave(self, node):
        self.spoken -= _speaks(node)
        super().on_leave(node)


def _speaks(node):
    if not isinstance(node, libcst.Call):
        return False
    name = node.func.attr if isinstance(node.func, libcst.Attribute) else node.func
    return isinstance(name, libcst.Name) and name.value.endswith(MESSAGES)


def mutants_of(path):
    """Return a list of (function, original node, changed node), and the parsed module."""
    source = path.read_text()
    wrapper = MetadataWrapper(libcst.parse_module(source))
    visitor = Changes(mutation_operators, get_ignored_lines(str(path), source, wrapper))
    module = wrapper.visit(visitor)
    owners = {}
    for statement in module.body:
        if isinstance(statement, libcst.FunctionDef):
            owners[statement] = statement.name.value
        elif isinstance(statement, libcst.ClassDef):
            for part in statement.body.body:
                if isinstance(part, libcst.FunctionDef):
                    owners[part] = f"{statement.name.value}.{part.name.value}"
    return module, [
        (owners[each.contained_by_top_level_function], each.original_node, each.mutated_node)
        for each in visitor.mutations
        if each.contained_by_top_level_function in owners
    ]


def functions_of(namespace):
    """Return the functions and methods that a module defines, by their qualified names."""
    found = {}
    for value in namespace.values():
        for part in (value, *(vars(value).values() if isinstance(value, type) else ())):
            part = inspect.unwrap(getattr(part, "fget", None) or getattr(part, "__func__", part))
            if isinstance(part, FunctionType) and part.__globals__ is namespace:
                found[part.__qualname__] = part
    return found


def put_in_place(mutant, namespace):
    """Give the function of that name, wherever it is kept by now, the changed code and defaults."""
    fresh = {key: namespace[key] for key in ("__name__", "__package__", "__file__")}
    exec(compile(mutant.after, str(mutant.path), "exec", dont_inherit=True), fresh)
    old, new = functions_of(namespace)[mutant.function], functions_of(fresh)[mutant.function]
    old.__code__, old.__defaults__, old.__kwdefaults__ = (
        new.__code__,
        new.__defaults__,
        new.__kwdefaults__,
    )


class Mutation:
    """A pytest plugin that runs the collected tests once, and then those of each mutant in a fork."""

    def __init__(self, paths, sample, seed, minutes):
        self.paths, self.sample, self.seed, self.minutes = paths, sample, seed, minutes
        self.results = []  # (mutant, verdict)
        self.made = Counter()

    def pytest_configure(self, config):
        """Let one failure be enough: no smaller one is looked for, and none is kept for later runs."""
        import hypothesis  # after pytest began, which warns of plugins that came before it

        phases = [hypothesis.Phase.explicit, hypothesis.Phase.generate]
        hypothesis.settings.register_profile(
            "mutants",
            database=None,
            derandomize=True,
            phases=phases,
            suppress_health_check=[hypothesis.HealthCheck.too_slow],
        )
        hypothesis.settings.load_profile("mutants")

    def pytest_collection(self, session):
        """Import the modules by their names before a doctest does it by their paths."""
        self.namespaces = {path: vars(importlib.import_module(dotted(path))) for path in self.paths}

    def pytest_runtestloop(self, session):
        items = session.items
        calls, seconds = self._run_once(items)
        began = time.monotonic()
        for path in self.paths:
            module, changes = mutants_of(path)
            self.made[path] = len(changes)
            self._check_unchanged(path, module, calls, items, seconds)
            rng = random.Random(f"{self.seed} {path.relative_to(ROOT)}")
            for name, before, after in rng.sample(changes, min(self.sample, len(changes))):
                if time.monotonic() - began > 60 * self.minutes:
                    break
                changed = module.deep_replace(before, after)
                mutant = Mutant(path, name, module.code, changed.code)
                tests = sorted(calls[path, name], key=lambda k: seconds[k])
                verdict = self._run(mutant, [(items[k], seconds[k]) for k in tests])
                self.results.append((mutant, verdict))
                if verdict != KILLED:
                    print(f"\n{verdict}: {mutant}", flush=True)
        return True

    def _run_once(self, items):
        """Run all tests unchanged: which of them call which function, and how long each computes."""
        names = {
            function.__code__: (path, name)
            for path, namespace in self.namespaces.items()
            for name, function in functions_of(namespace).items()
        }
        calls, seconds, running = defaultdict(set), [], None

        def note(frame, event, argument):
            if event == "call" and frame.f_code in names:
                calls[names[frame.f_code]].add(running)

        for number, (item, following) in enumerate(in_turn(items)):
            running = number
            start = time.process_time()
            sys.setprofile(note)
            threading.setprofile(note)
            reports = reports_of(item, following)
            sys.setprofile(None)
            threading.setprofile(None)
            seconds.append(time.process_time() - start)
            failed = [report.longreprtext for report in reports if report.failed]
            if failed:
                pytest.exit(f"{item.nodeid} fails without any change:\n{failed[0]}", 1)
        return calls, seconds

    def _check_unchanged(self, path, module, calls, items, seconds):
        """Stop where a function that was put in place unchanged is taken for a mutant."""
        reached = [(len(tests), name) for (place, name), tests in calls.items() if place == path]
        if reached:
            _, name = min(reached)
            tests = [(items[k], seconds[k]) for k in sorted(calls[path, name])]
            if self._run(Mutant(path, name, module.code, module.code), tests) == KILLED:
                pytest.exit(f"the tests of {name} fail in a fork, without any change", 1)

    def _run(self, mutant, tests):
        if not tests:
            return UNREACHED
        sys.stdout.flush()
        child = os.fork()
        if not child:
            found = "the change itself"
            try:
                put_in_place(mutant, self.namespaces[mutant.path])
                found = first_failure(tests)
            finally:
                if found and mutant.after == mutant.before:
                    print(found, flush=True)
                os._exit(1 if found else 0)
        _, status = os.waitpid(child, 0)
        return SURVIVED if status == 0 else KILLED


def in_turn(items):
    """Return each test and what comes after it; after the last the session, which keeps its fixtures."""
    return zip(items, [*items[1:], items[0].session], strict=True)


def reports_of(item, following):
    """Run a test with its filters of warnings; a doctest, which throws its names away, with those it had."""
    names = dict(item.dtest.globs) if hasattr(item, "dtest") else None
    with catch_warnings_for_item(item.config, item.ihook, "runtest", item):
        reports = runtestprotocol(item, log=False, nextitem=following)
    if names is not None:
        item.dtest.globs = names
    return reports


def first_failure(tests):
    """Return how the first of (test, seconds that it takes) fails, or nothing; one that never ends, ends the process."""
    items, seconds = zip(*tests, strict=True)
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    for (item, following), usual in zip(in_turn(items), seconds, strict=True):
        limit = math.ceil(time.process_time() + 5 + 10 * usual)
        resource.setrlimit(resource.RLIMIT_CPU, (limit, most))
        for report in reports_of(item, following):
            if report.failed:
                return report.longreprtext or item.nodeid
    return ""


def dotted(path):
    return ".".join(path.relative_to(ROOT / "src").with_suffix("").parts)


def tests_of(path):
    """Return the module itself, for its doctests, and the file of its tests."""
    tests = ROOT / "tests" / path.relative_to(PACKAGE).with_name(f"test_{path.name}")
    return [str(path), str(tests)]


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "modules", nargs="*", type=Path, help="files; without any, all that are listed here"
    )
    parser.add_argument(
        "--sample", type=int, default=10**9, help="at most so many mutants of each module"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after so many")
    options = parser.parse_args()
    paths = [path.resolve() for path in options.modules] or MODULES
    plugin = Mutation(paths, options.sample, options.seed, options.minutes)
    files = [name for path in paths for name in tests_of(path)]
    quiet = ["-q", "-n", "0", "-p", "no:cacheprovider", "--capture=no"]
    code = pytest.main([f"--rootdir={ROOT}", *quiet, *files], plugins=[plugin])
    if not plugin.results:
        raise SystemExit(f"no mutant was run; pytest ended with {code!r}")
    print(
        "\n| module | mutants | run | killed | survived | not reached |\n| --- | --- | --- | --- | --- | --- |"
    )
    rows = [(dotted(path).partition(".")[2], [path]) for path in paths] + [("together", paths)]
    for name, of in rows:
        found = Counter(verdict for mutant, verdict in plugin.results if mutant.path in of)
        run = found.total()
        share = f"{found[KILLED]} ({found[KILLED] / run:.0%})" if run else "0"
        made = sum(plugin.made[path] for path in of)
        print(f"| {name} | {made} | {run} | {share} | {found[SURVIVED]} | {found[UNREACHED]} |")


if __name__ == "__main__":
    main()
