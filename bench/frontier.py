"""The frontier of accuracy against privacy: our models beside their anchors on three public sets, as table and plot.

    python -m bench.frontier [--data german,taiwan,gmsc] [--models scorecard,network] [--against dp-ebm,lightgbm,opacus]

Evaluates as `credence evaluate` does, writes docs/frontier.md and docs/frontier.svg, and prints which of the promises
hold; exit code 1 where one does not. What was evaluated before, by the same code on the same data, is taken from
var/bench/frontier. Reads $CREDENCE_TEST_DATA/data/NAME/NAME.csv.gz. Public data only.
"""

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path

from bench.frontier_plot import draw_frontier
from bench.frontier_report import Figures, format_report, list_promises
from scoring.evaluation.evaluate import Plan, Result, evaluate
from scoring.evaluation.registry import ANCHORS, MODELS, make_contender, use_one_thread
from scoring.frame import Frame, read_frame
from scoring.rows import read_rows
from scoring.schema import Schema, parse_schema

ROOT = Path(__file__).resolve().parent.parent
DATA_SETS = ("german", "taiwan", "gmsc")
DELTA_E12, FOLDS, SEED = 10_000_000, 5, 7
OWN_MODULE = {"dp-ebm": "dp_ebm", "lightgbm": "light_gbm", "opacus": "opacus_mlp"}
LIBRARY = {"dp-ebm": "interpret-core", "lightgbm": "lightgbm", "opacus": "opacus"}


@dataclass(frozen=True, kw_only=True)
class Task:
    """One contender on one set at one epsilon, None where it has none."""

    data_set: str
    contender: str
    epsilon_micro: int | None
    noise_seeds: int


def main() -> int:
    """Run what is not known yet, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=",".join(DATA_SETS))
    parser.add_argument(
        "--models", default="scorecard,network", help=f"of {', '.join(MODELS)}; promises are of the first"
    )
    parser.add_argument("--against", default=",".join(ANCHORS))
    parser.add_argument("--epsilon", default="0.5,1,3,8")
    parser.add_argument("--noise-seeds", type=int, default=2)
    parser.add_argument("--jobs", type=int, default=2, help="processes, of one thread each")
    parser.add_argument("--out", type=Path, default=ROOT / "docs")
    options = parser.parse_args()
    if "CREDENCE_TEST_DATA" not in os.environ:
        print("skipped: CREDENCE_TEST_DATA is not set, and the data is not ours to commit", file=sys.stderr)
        return 0
    data_sets, models, anchors = (text.split(",") for text in (options.data, options.models, options.against))
    epsilons = [round(float(text) * 1e6) for text in options.epsilon.split(",")]
    tasks = [
        Task(data_set=data_set, contender=name, epsilon_micro=epsilon_micro, noise_seeds=options.noise_seeds)
        for name in [*models, *anchors]
        for epsilon_micro in ([None] if name == "lightgbm" else epsilons)
        for data_set in data_sets
    ]
    figures: Figures = {data_set: [] for data_set in data_sets}
    for task, result in zip(tasks, run_tasks(tasks, jobs=options.jobs), strict=True):
        figures[task.data_set].append(result)
        print(describe(task, result), file=sys.stderr)
    promises = list_promises(figures, model=models[0])
    report = format_report(figures, promises, models=models, folds=FOLDS, noise_seeds=options.noise_seeds)
    (options.out / "frontier.md").write_text(report, encoding="utf-8")
    draw_frontier(figures, options.out / "frontier.svg", folds=FOLDS)
    for promise in promises:
        print(f"{'kept  ' if promise.kept else 'BROKEN'}  {promise.text}: {promise.found}")
    return 0 if all(promise.kept for promise in promises) else 1


def run_tasks(tasks: Sequence[Task], *, jobs: int) -> Iterable[Result]:
    """The results in the tasks' order, as they come."""
    context = get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=use_one_thread) as pool:
        yield from pool.map(run_task, tasks)


def run_task(task: Task) -> Result:
    """Evaluate, or find what was evaluated before."""
    schema, frame, content = load_frame(task.data_set)
    key = hashlib.sha256(json.dumps([asdict(task), content, code_of(task.contender)]).encode()).hexdigest()
    path = ROOT / "var/bench/frontier" / f"{task.data_set}-{task.contender}-{key[:24]}.json"
    if path.exists():
        return Result(**json.loads(path.read_text()))
    plan = Plan(
        epsilons_micro=() if task.epsilon_micro is None else (task.epsilon_micro,),
        delta_e12=DELTA_E12,
        folds=FOLDS,
        seed=SEED,
        noise_seeds=task.noise_seeds,
    )
    (result,) = evaluate(frame.labels, [make_contender(task.contender, schema, frame)], plan)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}")
    partial.write_text(json.dumps(asdict(result)))
    partial.replace(path)
    return result


@cache
def load_frame(data_set: str) -> tuple[Schema, Frame, str]:
    """A public set by its shipped schema, every unprotected column, and a digest of all that a contender sees of it."""
    schema = parse_schema((ROOT / f"scoring/schemas/{data_set}.toml").read_bytes())
    rows = read_rows(Path(os.environ["CREDENCE_TEST_DATA"]) / "data" / data_set / f"{data_set}.csv.gz")
    frame = read_frame(schema, rows, schema.unprotected)
    content = hashlib.sha256(repr(frame.columns).encode())
    for array in (frame.cells, frame.labels, *(frame.values[column.name].numbers for _, column in frame.graded)):
        content.update(array.tobytes())
    return schema, frame, content.hexdigest()


@cache
def code_of(contender: str) -> str:
    """A digest of the code that decides a contender's figures, and its library's version."""
    folder = ROOT / "scoring"
    evaluation = [folder / f"evaluation/{name}.py" for name in ("evaluate", "metrics")]
    if contender in OWN_MODULE:
        files = [*evaluation, folder / f"evaluation/{OWN_MODULE[contender]}.py"]
        said = version(LIBRARY[contender])
    else:
        models = [path for path in sorted(folder.rglob("*.py")) if path.parts[-2] in ("scoring", "dp", "network")]
        files, said = [*evaluation, folder / "evaluation/contenders.py", *models], ""
    content = hashlib.sha256(said.encode())
    for path in files:
        content.update(path.read_bytes())
    return content.hexdigest()


def describe(task: Task, result: Result) -> str:
    """One line for whoever waits."""
    epsilon = "none" if task.epsilon_micro is None else f"{task.epsilon_micro / 1e6:g}"
    return (
        f"{task.data_set:<8}{task.contender:<12}{epsilon:>5}  auc {result.auc:.4f}  ece {result.ece:.4f}  "
        f"fit {result.fit_s:.2f} s"
    )


if __name__ == "__main__":
    sys.exit(main())
