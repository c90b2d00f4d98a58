"""The network's DP-SGD step beside Opacus's two, given its batch: interleaved in one run, one thread.

    OMP_NUM_THREADS=1 python -m bench.dp_sgd [--batch 4096] [--inputs 110] [--units 32] [--rounds 15] [--json]

A step is everything from a batch to the next weights: forward, each row's gradient norm, the clipped sum, the noise,
one step of Adam. Ours does it in integers that doubles hold, with the operating system's discrete Gaussian; Opacus's
hooks and its ghost clipping in single precision, with torch's seeded normal. The three take turns of a few steps, and
the figures are medians of this process's processor time, so that other work on the machine counts as little as it can.
The clipped sums are compared with those of Opacus's hooks in double precision: the largest difference by the largest
sum, in the integer units of a fit and in fine ones.
"""

import argparse
import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from opacus import GradSampleModule
from opacus.grad_sample import GradSampleModuleFastGradientClipping
from opacus.optimizers import DPOptimizer, DPOptimizerFastGradientClipping
from opacus.utils.fast_gradient_clipping_utils import DPLossFastGradientClipping
from torch import nn

from scoring.dp.convolution import SystemTableSampler
from scoring.evaluation.registry import use_one_thread
from scoring.network.arithmetic import ONE, WEIGHT_BITS
from scoring.network.fitting import BOUND, Learner, as_doubles, build_batches, sum_gradients
from scoring.network.gradients import MOST_BOUND, Clip

NOISE_MULTIPLIER = 1.0
NORM = 4.0
RATE = 0.05
STEPS_A_TURN = 4


class TwoLayers(nn.Module):
    """The network as Opacus takes it: its inputs carry the constant one, so its linear layers have no bias."""

    def __init__(self, hidden: torch.Tensor, output: torch.Tensor) -> None:
        super().__init__()
        units, inputs = hidden.shape
        self.hidden = nn.Linear(inputs, units, bias=False, dtype=hidden.dtype)
        self.output = nn.Linear(units + inputs, 1, bias=False, dtype=hidden.dtype)
        with torch.no_grad():
            self.hidden.weight.copy_(hidden)
            self.output.weight.copy_(output[None])

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Log odds."""
        activations = nn.functional.softsign(self.hidden(inputs))
        return self.output(torch.cat([activations, inputs], dim=1))[:, 0]  # type: ignore[no-any-return]


def main() -> int:
    """Run the bench; 1 where a figure misses what is asked of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--inputs", type=int, default=110, help="the constant one included")
    parser.add_argument("--units", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true", help="print JSON alone, without the table")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    use_one_thread()
    result = measure(rows=options.batch, inputs=options.inputs, units=options.units, rounds=options.rounds)
    print(json.dumps(result, indent=2))
    if not options.json:
        for name, milliseconds in result["step_ms"].items():
            print(f"{name:<24}{milliseconds:>9.2f} ms{result['times_ours'][name]:>8.1f}x")
        print(f"clipped sums differ by {result['clipped_sum_difference']['fine']:.1e} in fine units")
    return 0 if result["met"] else 1


def measure(*, rows: int, inputs: int, units: int, rounds: int) -> dict[str, Any]:
    """Medians of interleaved steps, their ratios to ours, and how far the clipped sums differ."""
    generator = torch.Generator().manual_seed(7)
    values = torch.randint(-ONE, ONE + 1, (rows, inputs - 1), generator=generator)
    fixed = torch.cat([values, torch.full((rows, 1), ONE)], dim=1).to(torch.float64)
    labels = (torch.rand(rows, generator=generator) < 0.2).to(torch.float64)
    learner = Learner(np.array([0, inputs]), units=units, size=inputs**0.5, base_rate=0.2, rate=RATE, key=bytes(32))
    start = learner.hidden
    hidden, output = as_doubles(start, learner.output, torch.device("cpu"))
    output = (torch.randn(output.shape, generator=generator, dtype=torch.float64) * 0.1 * 2**WEIGHT_BITS).round()
    weights = hidden / 2**WEIGHT_BITS, output / 2**WEIGHT_BITS

    steps = {
        "ours": _ours(fixed, labels, learner),
        "opacus ghost clipping": _ghost(fixed, labels, weights),
        "opacus hooks": _hooks(fixed, labels, weights),
    }
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for round_ in range(rounds + 1):
        for name, step in steps.items():
            step()  # the one before left its own data in the caches, which no training does
            for _ in range(STEPS_A_TURN):
                started_s = time.process_time()
                step()
                if round_:  # the first one warms up
                    taken[name].append(time.process_time() - started_s)
    medians = {name: statistics.median(seconds) * 1e3 for name, seconds in taken.items()}
    times = {name: median / medians["ours"] for name, median in medians.items()}
    whole = output.numpy().astype(np.int32)
    theirs = _opacus_sums(fixed, labels, weights)
    differences = {}
    for name, bound in (("as fitted", BOUND), ("fine", MOST_BOUND)):
        clip = Clip(norm=NORM, bound=bound)
        ours = sum_gradients(build_batches(fixed.T, labels), start, whole, clip).to(torch.float64) / clip.scale
        differences[name] = float((ours - theirs).abs().max() / theirs.abs().max())
    return {
        "bench": "dp_sgd",
        "batch": rows,
        "inputs": inputs,
        "units": units,
        "parameters": hidden.numel() + output.numel(),
        "threads": 1,
        "rounds": rounds,
        "step_ms": {name: round(median, 3) for name, median in medians.items()},
        "fastest_ms": {name: round(min(seconds) * 1e3, 3) for name, seconds in taken.items()},
        "times_ours": {name: round(ratio, 2) for name, ratio in times.items()},
        "clipped_sum_difference": differences,
        "met": times["opacus hooks"] >= 20 and times["opacus ghost clipping"] >= 2 and differences["fine"] <= 1e-5,
    }


def _ours(fixed: torch.Tensor, labels: torch.Tensor, learner: Learner) -> Callable[[], None]:
    batches = build_batches(fixed.T, labels)
    clip, sampler = Clip(norm=NORM, bound=BOUND), SystemTableSampler()
    sigma_micro = round(NOISE_MULTIPLIER * BOUND * 1e6)

    def step() -> None:
        sums = sum_gradients(batches, learner.hidden, learner.output, clip)
        noised = sampler.add_noise(sums.numpy(), sigma_micro=sigma_micro)
        learner.step(noised / (clip.scale * len(labels)))

    return step


def _hooks(fixed: torch.Tensor, labels: torch.Tensor, weights: tuple[torch.Tensor, torch.Tensor]) -> Callable[[], None]:
    inputs, wanted = (fixed / ONE).float(), labels.float()
    network = GradSampleModule(TwoLayers(weights[0].float(), weights[1].float()))
    optimizer = DPOptimizer(
        torch.optim.Adam(network.parameters(), lr=RATE),
        noise_multiplier=NOISE_MULTIPLIER,
        max_grad_norm=NORM,
        expected_batch_size=len(labels),
    )
    loss = nn.BCEWithLogitsLoss()

    def step() -> None:
        optimizer.zero_grad()
        loss(network(inputs), wanted).backward()
        optimizer.step()

    return step


def _ghost(fixed: torch.Tensor, labels: torch.Tensor, weights: tuple[torch.Tensor, torch.Tensor]) -> Callable[[], None]:
    inputs, wanted = (fixed / ONE).float(), labels.float()
    network = GradSampleModuleFastGradientClipping(
        TwoLayers(weights[0].float(), weights[1].float()), max_grad_norm=NORM, use_ghost_clipping=True
    )
    optimizer = DPOptimizerFastGradientClipping(
        torch.optim.Adam(network.parameters(), lr=RATE),
        noise_multiplier=NOISE_MULTIPLIER,
        max_grad_norm=NORM,
        expected_batch_size=len(labels),
    )
    loss = DPLossFastGradientClipping(network, optimizer, nn.BCEWithLogitsLoss(reduction="mean"))

    def step() -> None:
        optimizer.zero_grad()
        loss(network(inputs), wanted).backward()
        optimizer.step()

    return step


def _opacus_sums(fixed: torch.Tensor, labels: torch.Tensor, weights: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Opacus's clipped sums over the batch, in double precision."""
    network = GradSampleModule(TwoLayers(*weights), loss_reduction="sum")
    optimizer = DPOptimizer(
        torch.optim.SGD(network.parameters(), lr=1.0),
        noise_multiplier=0.0,
        max_grad_norm=NORM,
        expected_batch_size=None,
        loss_reduction="sum",
    )
    nn.functional.binary_cross_entropy_with_logits(network(fixed / ONE), labels, reduction="sum").backward()  # type: ignore[no-untyped-call]
    optimizer.clip_and_accumulate()
    return torch.cat([parameter.summed_grad.flatten() for parameter in network.parameters()])


if __name__ == "__main__":
    sys.exit(main())
