"""The models and the anchors that can be evaluated, by name; each library is loaded when its contender is made."""

from importlib.util import find_spec

import torch
from threadpoolctl import threadpool_limits

from scoring.errors import EvaluationInvalid
from scoring.evaluation.contenders import Contender, NetworkContender, ScorecardContender
from scoring.frame import Frame
from scoring.schema import Schema

MODELS = ("scorecard", "network", "champion")
ANCHORS = {"dp-ebm": "interpret", "lightgbm": "lightgbm", "opacus": "opacus"}
"""Each with the library that it is."""


def check_installed(anchor: str) -> None:
    """Raises EvaluationInvalid where an anchor's library is not there."""
    if find_spec(ANCHORS[anchor]) is None:
        raise EvaluationInvalid(f"The anchor {anchor} needs {ANCHORS[anchor]}: pip install 'credence[evaluation]'.")


def use_one_thread() -> None:
    """One core for every contender: times compare, and small sums lose more by a second thread than they gain."""
    torch.set_num_threads(1)
    threadpool_limits(1)  # numpy's products, which the network's are


def make_contender(name: str, schema: Schema, frame: Frame) -> Contender:
    """A model or an anchor over the columns of a frame; raises EvaluationInvalid where it cannot take the schema."""
    if name == "scorecard":
        return ScorecardContender(frame=frame, rows_per_person=schema.rows_per_person)
    if name == "network":
        return NetworkContender(frame=frame, rows_per_person=schema.rows_per_person)
    if name == "champion":
        from scoring.evaluation.champion import ChampionContender

        return ChampionContender(frame=frame, rows_per_person=schema.rows_per_person)
    if name == "lightgbm":
        from scoring.evaluation.light_gbm import LightGbm

        return LightGbm(frame=frame)
    if schema.rows_per_person != 1:
        raise EvaluationInvalid(f"The anchor {name} protects a row, and the schema lets a person have several.")
    if name == "dp-ebm":
        from scoring.evaluation.dp_ebm import DpEbm

        return DpEbm(frame=frame)
    from scoring.evaluation.opacus_mlp import OpacusMlp

    return OpacusMlp(frame=frame)
