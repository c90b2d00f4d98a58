"""`credence evaluate`: how well the model predicts held-out rows, beside its anchors, on public or development data.

It needs the training and evaluation extras; nothing that serves imports this module.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from api.cli.schema_file import load_schema
from api.cli.terminal import USAGE, CommandFailed, LateProgress, format_epsilon, parse_exact, print_json
from scoring.errors import ColumnMissing, ValueInvalid
from scoring.rows import read_rows
from scoring.schema import Schema

try:
    from scoring.evaluation.evaluate import NOTE, Plan, Result, evaluate
    from scoring.evaluation.registry import ANCHORS, MODELS, check_installed, make_contender, use_one_thread
    from scoring.frame import Frame, read_frame
except ModuleNotFoundError as missing:
    raise CommandFailed(f"Evaluation needs {missing.name}: pip install 'credence[training,evaluation]'.") from None


def run_evaluation(
    *,
    data: Path,
    schema_path: Path,
    epsilon: str,
    delta: str,
    folds: int,
    seed: int,
    noise_seeds: int,
    model: str,
    against: str,
    as_json: bool,
) -> None:
    """Evaluate as the options say, and print the figures."""
    plan = Plan(
        epsilons_micro=tuple(parse_exact(one, 6, "--epsilon") for one in epsilon.split(",")),
        delta_e12=parse_exact(delta, 12, "--delta"),
        folds=folds,
        seed=seed,
        noise_seeds=noise_seeds,
    )
    anchors = [name for name in against.split(",") if name]
    check_names(model, anchors)
    schema = load_schema(schema_path)
    if not schema.unprotected:
        raise CommandFailed(f"{schema_path}: every column is protected, so there is nothing to predict from.")
    if not data.is_file():
        raise CommandFailed(f"{data} is not a file.", exit_code=USAGE)
    use_one_thread()
    with LateProgress() as progress:
        try:
            frame = read_frame(schema, read_rows(data), schema.unprotected, progress=progress.show)
        except (ColumnMissing, ValueInvalid) as refused:
            raise CommandFailed(f"{refused} The column is {refused.feature}.") from None
        contenders = [make_contender(name, schema, frame) for name in (model, *anchors)]
        results = evaluate(frame.labels, contenders, plan, progress=progress.show)
    document = describe(schema, frame, plan, results)
    if as_json:
        print_json(document)
    else:
        _print_table(document)


def check_names(model: str, anchors: list[str]) -> None:
    """Raises `CommandFailed` for a model or an anchor that is none or stands twice; EvaluationInvalid for a missing
    library."""
    if model not in MODELS:
        raise CommandFailed(f"--model is one of {', '.join(MODELS)}.", exit_code=USAGE)
    if not set(anchors) <= ANCHORS.keys() or len(set(anchors)) != len(anchors):
        raise CommandFailed(f"--against is a list, by commas, of {', '.join(ANCHORS)}.", exit_code=USAGE)
    for anchor in anchors:
        check_installed(anchor)


def describe(schema: Schema, frame: Frame, plan: Plan, results: list[Result]) -> dict[str, Any]:
    """The figures as one JSON document."""
    return {
        "dataset": schema.name,
        "note": NOTE,
        "rows": len(frame.labels),
        "columns": len(frame.columns),
        "delta": plan.delta_e12 / 1e12,
        "folds": plan.folds,
        "seed": plan.seed,
        "noise_seeds": plan.noise_seeds,
        "results": [
            {
                "model": one.model,
                "epsilon": None if one.epsilon_micro is None else one.epsilon_micro / 1e6,
                "auc": round(one.auc, 6),
                "auc_sd": round(one.auc_sd, 6),
                "ks": round(one.ks, 6),
                "brier": round(one.brier, 6),
                "ece": round(one.ece, 6),
                "fit_s": round(one.fit_s, 4),
            }
            for one in results
        ],
    }


def _print_table(document: dict[str, Any]) -> None:
    print(
        f"{document['dataset']}: {document['rows']} rows, {document['columns']} columns, {document['folds']} folds, "
        f"delta {document['delta']:g}"
    )
    figures: dict[str, Callable[[Any], str]] = {
        "model": str,
        "epsilon": lambda epsilon: "none" if epsilon is None else format_epsilon(round(epsilon * 1e6)),
        "auc": "{:.4f}".format,
        "+-": "{:.4f}".format,
        "ks": "{:.4f}".format,
        "brier": "{:.4f}".format,
        "ece": "{:.4f}".format,
        "fit_s": "{:.2f}".format,
    }
    rows = [list(figures)]
    for result in document["results"]:
        result = {**result, "+-": result["auc_sd"] / math.sqrt(document["folds"])}
        rows.append([form(result[name]) for name, form in figures.items()])
    widths = [max(len(row[place]) for row in rows) for place in range(len(figures))]
    for row in rows:
        print(
            "  "
            + row[0].ljust(widths[0])
            + "".join(f"  {text:>{width}}" for text, width in zip(row[1:], widths[1:], strict=True))
        )
    print(f"\n+- is the standard error of the mean over folds. {document['note']}")
