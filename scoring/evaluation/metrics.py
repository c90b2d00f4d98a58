"""Discrimination and calibration of predictions: AUC, KS, Brier score, expected calibration error."""

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score, roc_curve

CALIBRATION_BINS = 10


def auc(labels: NDArray[np.int64], risk: NDArray[np.float64]) -> float:
    """Area under the ROC curve; `risk` rises with the chance of default, ties count half."""
    return float(roc_auc_score(labels, risk))


def kolmogorov_smirnov(labels: NDArray[np.int64], risk: NDArray[np.float64]) -> float:
    """The largest distance between the distributions of the risk of the bad and of the good."""
    false_positive, true_positive, _ = roc_curve(labels, risk)
    return float(np.max(true_positive - false_positive))


def brier_score(labels: NDArray[np.int64], pd: NDArray[np.float64]) -> float:
    """The mean squared distance of label and probability."""
    return float(np.mean((labels - pd) ** 2))


def expected_calibration_error(labels: NDArray[np.int64], pd: NDArray[np.float64]) -> float:
    """Mean distance of bad rate and mean probability over ten bins of equal mass, by their rows.

    Bins are cut by rank of the probability, ties in the rows' order; with fewer rows than bins, a row a bin.
    """
    bins = np.array_split(np.argsort(pd, kind="stable"), min(CALIBRATION_BINS, len(pd)))
    return float(sum(abs(labels[rows].mean() - pd[rows].mean()) * len(rows) for rows in bins) / len(pd))
