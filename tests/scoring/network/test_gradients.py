"""The clipped gradient sum: autograd's and Opacus's, a function of each row alone, and never moved past its bound."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from scoring.network.arithmetic import LOG_ODDS_UNIT, MOST_INPUT, MOST_WEIGHT, ONE, WEIGHT_BITS, log_odds_of
from scoring.network.gradients import MOST_BOUND, Clip, build_batch, clipped_sums, sigmoid

FINE = Clip(norm=1.0, bound=MOST_BOUND)


def weights(units: int, inputs: int, *, seed: int, spread: float = 0.4) -> tuple[torch.Tensor, torch.Tensor]:
    """Random weights of a network whose inputs include the constant one."""
    generator = torch.Generator().manual_seed(seed)
    shapes = (units, inputs), (units + inputs,)
    hidden, output = (torch.randn(shape, generator=generator, dtype=torch.float64) * spread for shape in shapes)
    return (hidden * 2**WEIGHT_BITS).round(), (output * 2**WEIGHT_BITS).round()


def rows(count: int, inputs: int, *, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Random inputs and labels."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randint(-ONE, ONE + 1, (count, inputs - 1), generator=generator)
    ones = torch.full((count, 1), ONE)
    return torch.cat([values, ones], dim=1).double(), torch.randint(0, 2, (count,), generator=generator).double()


def loss(hidden: torch.Tensor, output: torch.Tensor, inputs: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """One row's logistic loss in plain floating point."""
    sums = hidden @ inputs
    log_odds = torch.cat([nn.functional.softsign(sums), inputs]) @ output
    return nn.functional.binary_cross_entropy_with_logits(log_odds, label)


@pytest.mark.parametrize("norm", [0.3, 1.0, 50.0])
def test_the_sum_is_that_of_clipped_autograd_gradients(norm: float) -> None:
    hidden, output = weights(5, 12, seed=1)
    inputs, labels = rows(60, 12, seed=2)
    leaves = [(one / 2**WEIGHT_BITS).requires_grad_() for one in (hidden, output)]
    gradients = torch.stack(
        [
            torch.cat([part.flatten() for part in torch.autograd.grad(loss(*leaves, row / ONE, label), leaves)])
            for row, label in zip(inputs, labels, strict=True)
        ]
    )
    norms = gradients.norm(dim=1)
    assert norm == 50.0 or 0.05 < float((norms > norm).double().mean()) <= 1.0
    wanted = (gradients * (norm / norms).clamp(max=1.0)[:, None]).sum(dim=0)
    clip = Clip(norm=norm, bound=MOST_BOUND)
    ours = clipped_sums(build_batch(inputs.T, labels), hidden, output, clip) / clip.scale
    assert float((ours - wanted).norm()) < 1e-5 * float(wanted.norm())


class Network(nn.Module):
    """The same network as Opacus takes it: linear layers whose inputs carry their constant one."""

    def __init__(self, hidden: torch.Tensor, output: torch.Tensor) -> None:
        super().__init__()
        units, inputs = hidden.shape
        self.hidden = nn.Linear(inputs, units, bias=False, dtype=torch.float64)
        self.output = nn.Linear(units + inputs, 1, bias=False, dtype=torch.float64)
        with torch.no_grad():
            self.hidden.weight.copy_(hidden / 2**WEIGHT_BITS)
            self.output.weight.copy_(output[None] / 2**WEIGHT_BITS)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        activations = nn.functional.softsign(self.hidden(inputs))
        return self.output(torch.cat([activations, inputs], dim=1))[:, 0]


def test_the_sum_is_opacuss() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from opacus import GradSampleModule
        from opacus.optimizers import DPOptimizer

        hidden, output = weights(7, 9, seed=3)
        inputs, labels = rows(400, 9, seed=4)
        network = GradSampleModule(Network(hidden, output), loss_reduction="sum")
        optimizer = DPOptimizer(
            torch.optim.SGD(network.parameters(), lr=1.0),
            noise_multiplier=0.0,
            max_grad_norm=1.0,
            expected_batch_size=None,
            loss_reduction="sum",
        )
        nn.functional.binary_cross_entropy_with_logits(network(inputs / ONE), labels, reduction="sum").backward()
        optimizer.clip_and_accumulate()
    theirs = torch.cat([parameter.summed_grad.flatten() for parameter in network.parameters()])
    ours = clipped_sums(build_batch(inputs.T, labels), hidden, output, FINE) / FINE.scale
    assert float((ours - theirs).norm()) < 1e-5 * float(theirs.norm())


INPUTS, UNITS = 4, 3
INPUT = st.one_of(st.sampled_from([0, ONE, -ONE, MOST_INPUT, -MOST_INPUT]), st.integers(-MOST_INPUT, MOST_INPUT))
WEIGHT = st.one_of(st.sampled_from([0, MOST_WEIGHT, -MOST_WEIGHT]), st.integers(-MOST_WEIGHT, MOST_WEIGHT))
RECORD = st.tuples(st.lists(INPUT, min_size=INPUTS - 1, max_size=INPUTS - 1), st.integers(0, 1))
WEIGHTS = st.tuples(
    st.lists(WEIGHT, min_size=UNITS * INPUTS, max_size=UNITS * INPUTS),
    st.lists(WEIGHT, min_size=UNITS + INPUTS, max_size=UNITS + INPUTS),
)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(RECORD, max_size=5),
    RECORD,
    WEIGHTS,
    st.floats(1e-3, 1e3),
    st.sampled_from([2**10, 2**18, 2**24, MOST_BOUND]),
    st.integers(0, 5),
)
def test_one_record_moves_the_integer_sum_by_at_most_its_bound(
    others: list[tuple[list[int], int]],
    one: tuple[list[int], int],
    weights: tuple[list[int], list[int]],
    norm: float,
    bound: int,
    place: int,
) -> None:
    """Whatever the record, the weights and the rows around it, and wherever it stands among them."""
    hidden = torch.tensor(weights[0], dtype=torch.float64).reshape(UNITS, INPUTS)
    output = torch.tensor(weights[1], dtype=torch.float64)

    def summed(records: list[tuple[list[int], int]]) -> list[int]:
        inputs = torch.tensor([[*values, ONE] for values, _ in records], dtype=torch.float64).reshape(-1, INPUTS)
        labels = torch.tensor([label for _, label in records], dtype=torch.float64)
        sums = clipped_sums(build_batch(inputs.T, labels), hidden, output, Clip(norm=norm, bound=bound))
        assert torch.equal(sums, sums.round())
        return [int(value) for value in sums.tolist()]

    with_it, without = summed([*others[:place], one, *others[place:]]), summed(others)
    moved = [more - fewer for more, fewer in zip(with_it, without, strict=True)]
    assert sum(step * step for step in moved) <= bound * bound
    assert moved == summed([one])


def test_a_rows_part_is_the_same_in_every_batch() -> None:
    """Rows in another order and other batches: floating point would differ in the last bits, and so in integers."""
    hidden, output = weights(16, 40, seed=5)
    inputs, labels = rows(3_000, 40, seed=6)
    clip = Clip(norm=2.0, bound=2**24)
    whole = clipped_sums(build_batch(inputs.T, labels), hidden, output, clip)
    order = torch.randperm(3_000, generator=torch.Generator().manual_seed(7))
    parts = sum(
        clipped_sums(build_batch(inputs[part].T, labels[part]), hidden, output, clip)
        for part in order.split([1, 7, 1_000, 1_992])
    )
    assert torch.equal(whole, parts)  # type: ignore[arg-type]


def test_numpy_and_torch_score_the_same_bits() -> None:
    hidden, output = weights(16, 40, seed=8)
    inputs, _ = rows(2_000, 40, seed=9)
    in_torch = log_odds_of(inputs.T, hidden, output).numpy()
    in_numpy = log_odds_of(inputs.numpy().T, hidden.numpy(), output.numpy())
    one_by_one = [log_odds_of(row, hidden.numpy(), output.numpy()) for row in inputs.numpy()[:50]]
    assert np.array_equal(in_torch, in_numpy)
    assert np.array_equal(in_numpy, np.rint(in_numpy))
    assert np.array_equal(in_numpy[:50], one_by_one)


def test_the_sigmoid_is_the_sigmoid() -> None:
    log_odds = torch.linspace(-40, 40, 40_001, dtype=torch.float64)
    assert float((sigmoid(log_odds) - torch.sigmoid(log_odds)).abs().max()) < 3e-7
    assert float(sigmoid(torch.tensor([0.0], dtype=torch.float64))) == 0.5
    assert LOG_ODDS_UNIT * ONE * 2**WEIGHT_BITS == 1.0
