"""Fit the network under differential privacy: released counts make its inputs, noised gradient sums its weights.

0. how many rows there are, and coins for persons where the row cap would be passed, as for the scorecard;
A. the rows in every public cell by label: each cell's weight of evidence and rank, which are the network's inputs;
B. STEPS times, the clipped gradient sum over all rows: one step of Adam, and the mean of the later weights;
C. the rows by their log odds and label: one slope and one intercept, for clipping moves probabilities.
Every row is in every step. At a given number of steps that is worth more than a sampled batch of any size, for the
same noise a mean gradient (docs/adr/0015-network-challenger.md); it costs exactly rho, which adds up in the ledger.
Shares, steps and rates are fixed here, before any data is seen; what follows the data follows released counts.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from scoring.dp.accounting import gaussian_sigma_micro
from scoring.dp.mechanisms import Releases, count_scores
from scoring.evidence import estimate_base_rate, fit_slope, weigh_inputs
from scoring.network.arithmetic import LOG_ODDS_UNIT, MOST_WEIGHT, ONE, WEIGHT_BITS, log_odds_of
from scoring.network.cuda import CapturedSums
from scoring.network.encoding import InputTable, build_table, mean_square
from scoring.network.gradients import BLOCK_ROWS, Batch, Clip, Scratch, build_batch, clipped_sums
from scoring.network.sampling import Claim, PersonSampler, SampledReleases, find_noise, noise_multiplier
from scoring.progress import Progress, no_progress
from scoring.records import Records, release_counts
from scoring.schema import Column

ALGORITHM = "network-3"
"""Names everything that turns rows into weights but the parameters; a change of any of it changes the name."""

SHARE_OF_COUNT, SHARE_OF_CELLS, SHARE_OF_SCORES = 0.02, 0.20, 0.06
"""Shares of rho; the gradients have the rest, in equal parts."""
UNITS = 16
STEPS = 100
RATE, CALM = 0.05, 0.0025
"""Adam's rate, falling to nothing along a half cosine; and the noise of a mean gradient above which it is less."""
FIRST_MOMENT, SECOND_MOMENT = 0.9, 0.99
CLIP_SHARE = 1.0
"""Of the root mean square of the inputs' norm: where a row's gradient is clipped."""
SCORE_CELLS, SCORE_RANGE = 32, 4.0
"""Of the log odds, about those of the base rate."""
BOUND = 2**26
"""A clipped gradient's greatest norm in integer units, where one person has one row."""
_E12 = 10**12


@dataclass(frozen=True, kw_only=True)
class FittedNetwork:
    """Weights that a fit found, over the columns it was given. No artifact: nothing says what it cost.

    `hidden` (units, d) and `output` (units + d,) are in units of 2^-WEIGHT_BITS; d counts all tables' inputs and one.
    """

    columns: tuple[Column, ...]
    tables: tuple[InputTable, ...]
    hidden: NDArray[np.int32]
    output: NDArray[np.int32]

    def log_odds(self, cells: torch.Tensor) -> torch.Tensor:
        """Natural log odds of bad to good (rows,) of (rows, columns) public cells."""
        weights = as_doubles(self.hidden, self.output, cells.device)
        blocks = [cells[start : start + BLOCK_ROWS] for start in range(0, len(cells), BLOCK_ROWS) or range(1)]
        return torch.cat([log_odds_of(encode(self.tables, block), *weights) for block in blocks]) * LOG_ODDS_UNIT

    def pd(self, cells: torch.Tensor) -> NDArray[np.float64]:
        """Probability of default (rows,) of (rows, columns) public cells."""
        probabilities: NDArray[np.float64] = torch.sigmoid(self.log_odds(cells)).cpu().numpy()
        return probabilities

    def straighten(self, slope: float, intercept: float) -> "FittedNetwork":
        """The network whose log odds are `slope` times these, and `intercept`."""
        output = self.output * np.float64(slope * 2.0**-WEIGHT_BITS)
        output[-1] += intercept
        return replace(self, output=as_weights(output))


def fit_network(
    columns: Sequence[Column],
    records: Records,
    releases: Releases,
    *,
    row_cap: int,
    rows_per_person: int = 1,
    random_bytes: Callable[[int], bytes],
    claim: Claim | None = None,
    progress: Progress = no_progress,
) -> FittedNetwork:
    """Fit any columns within one charge; everything that depends on the data passes through `releases`.

    With a claim, steps see Poisson samples of persons, the claim is what the whole fit costs, and `releases` pays for
    what is released of everybody with its shares of a charge that is worth the same.
    """
    total_rho = releases.charged_rho_e12
    rho_of_count, rho_of_cells, rho_of_scores = (
        int(total_rho * share) for share in (SHARE_OF_COUNT, SHARE_OF_CELLS, SHARE_OF_SCORES)
    )
    rho_of_step = (total_rho - rho_of_count - rho_of_cells - rho_of_scores) // STEPS

    counted = release_counts(
        columns,
        records,
        releases,
        rho_of_count=rho_of_count,
        rho_of_cells=rho_of_cells,
        row_cap=row_cap,
        rows_per_person=rows_per_person,
        random_bytes=random_bytes,
    )
    records, rows, counts = counted.records, counted.rows, counted.cells
    base_rate = estimate_base_rate(counts)
    weighed = weigh_inputs(columns, counts, sigma=counted.sigma, base_rate=base_rate, rows=rows)
    tables = tuple(
        build_table(column, of_cells, one.evidence)
        for column, of_cells, one in zip(columns, counts, weighed, strict=True)
    )
    size = math.sqrt(mean_square(tables, counts))

    inputs, labels = encode(tables, records.cells), records.labels.to(torch.float64)
    clip = Clip(norm=CLIP_SHARE * size, bound=choose_bound(rho_of_step, rows_per_person))
    sums = GradientSums(inputs, labels, clip)
    steps: WholeSteps | SampledSteps = WholeSteps(sums=sums, releases=releases, rho_of_step=rho_of_step, rows=rows)
    if claim is not None:
        shares = ((1, rho_of_count), (len(columns), rho_of_cells), (1, rho_of_scores))
        steps = SampledSteps(
            sums=sums,
            persons=PersonSampler(records.persons, rate_ppm=claim.rate_ppm, random_bytes=random_bytes),
            releases=SampledReleases(
                sampler=releases.sampler,
                noise=find_noise(claim, steps=STEPS, whole=noise_of_shares(shares, rows_per_person)),
                most=STEPS,
                rows_per_person=rows_per_person,
            ),
            rows=rows * claim.rate_ppm / 1e6,
        )
    learner = Learner(
        evidence_places(tables),
        size=size,
        base_rate=base_rate,
        rate=RATE * min(1.0, CALM / steps.deviation),
        key=random_bytes(32),
    )
    for step in range(STEPS):
        progress("fitting", step, STEPS)
        learner.step(steps.take(learner.hidden, learner.output))
    network = FittedNetwork(columns=tuple(columns), tables=tables, hidden=learner.hidden, output=learner.output)

    base = math.log(base_rate / (1 - base_rate))
    scored = network.log_odds(records.cells) - base
    width = 2 * SCORE_RANGE / SCORE_CELLS
    edges = torch.arange(1, SCORE_CELLS, dtype=torch.float64, device=scored.device) * width - SCORE_RANGE
    by_score = releases.release(
        "score_counts",
        count_scores(torch.bucketize(scored, edges, right=True), records.labels, SCORE_CELLS),
        sensitivity_squared=1,
        rho_e12=rho_of_scores,
    )
    line = fit_slope(
        by_score.values.astype(np.float64).reshape(-1, 2),
        -SCORE_RANGE + width * (np.arange(SCORE_CELLS, dtype=np.float64) + 0.5),
        sigma=by_score.sigma,
    )
    return network.straighten(line.slope, line.intercept - line.slope * base)


def encode(tables: Sequence[InputTable], cells: torch.Tensor) -> torch.Tensor:
    """(rows, columns) public cells to (d, rows) inputs in units of 1 / ONE, the constant one last."""
    values = [torch.from_numpy(table.values.T.astype(np.float64)).to(cells.device) for table in tables]
    looked_up = [of_cell[:, cells[:, place]] for place, of_cell in enumerate(values)]
    ones = torch.full((1, len(cells)), float(ONE), dtype=torch.float64, device=cells.device)
    return torch.cat([*looked_up, ones])


def evidence_places(tables: Sequence[InputTable]) -> NDArray[np.int64]:
    """Where each table's weight of evidence stands among the inputs, and at the end how many inputs there are."""
    starts = np.cumsum([0, *(table.values.shape[1] for table in tables)], dtype=np.int64)
    starts[-1] += 1  # the constant one
    return starts


def build_batches(inputs: torch.Tensor, labels: torch.Tensor) -> list[Batch]:
    """Rows in batches of BLOCK_ROWS, at least one, to be summed one after the other."""
    scratch = Scratch()
    starts = range(0, len(labels), BLOCK_ROWS) or range(1)
    return [
        build_batch(inputs[:, start : start + BLOCK_ROWS].contiguous(), labels[start : start + BLOCK_ROWS], scratch)
        for start in starts
    ]


def as_weights(weights: NDArray[np.float64]) -> NDArray[np.int32]:
    """Weights as they serve: in units of 2^-WEIGHT_BITS, to nearest, none beyond MOST_WEIGHT."""
    whole: NDArray[np.int32] = np.rint(np.clip(weights * 2**WEIGHT_BITS, -MOST_WEIGHT, MOST_WEIGHT)).astype(np.int32)
    return whole


def as_doubles(
    hidden: NDArray[np.int32], output: NDArray[np.int32], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights as the arithmetic takes them: integers in doubles."""
    return torch.from_numpy(hidden).to(device, torch.float64), torch.from_numpy(output).to(device, torch.float64)


def choose_bound(rho_e12: int, rows_per_person: int) -> int:
    """BOUND, or the largest power of two below it at which the noise, in millionths of a unit, fits a model card."""
    bound = BOUND
    while rows_per_person * bound * math.sqrt(_E12 / (2 * rho_e12)) * 1e6 > 2**52:
        bound //= 2
    return bound


class GradientSums:
    """Clipped gradient sums over rows that stay on their device, in whole integer units: the same in any order."""

    def __init__(self, inputs: torch.Tensor, labels: torch.Tensor, clip: Clip) -> None:
        self.clip = clip
        self._inputs, self._labels = inputs, labels
        self._captured = CapturedSums(inputs, labels, units=UNITS, clip=clip) if inputs.is_cuda else None
        self._whole: list[Batch] | None = None

    def of_all(self, hidden: NDArray[np.int32], output: NDArray[np.int32]) -> torch.Tensor:
        if self._captured is not None:
            return self._captured.sum(hidden, output, np.arange(len(self._labels)))
        if self._whole is None:
            self._whole = build_batches(self._inputs, self._labels)
        return sum_gradients(self._whole, hidden, output, self.clip)

    def of_rows(self, hidden: NDArray[np.int32], output: NDArray[np.int32], rows: NDArray[np.int64]) -> torch.Tensor:
        """Over the rows at these places."""
        if self._captured is not None:
            return self._captured.sum(hidden, output, rows)
        places = torch.from_numpy(rows)
        return sum_gradients(build_batches(self._inputs[:, places], self._labels[places]), hidden, output, self.clip)


def sum_gradients(
    batches: Sequence[Batch], hidden: NDArray[np.int32], output: NDArray[np.int32], clip: Clip
) -> torch.Tensor:
    """The clipped gradient sum over batches, in whole integer units."""
    device = batches[0].inputs.device
    weights = as_doubles(hidden, output, device)
    total = torch.zeros(hidden.size + output.size, dtype=torch.int64, device=device)
    for batch in batches:
        total += clipped_sums(batch, *weights, clip).to(torch.int64)
    return total


@dataclass(frozen=True, kw_only=True)
class WholeSteps:
    """Noised mean gradients over all rows, each paid for with the same rho; `rows` is a released number of them."""

    sums: GradientSums
    releases: Releases
    rho_of_step: int
    rows: float

    @property
    def deviation(self) -> float:
        """Of the noise of a mean gradient's coordinate."""
        multiplier = self.releases.rows_per_person * math.sqrt(_E12 / (2 * self.rho_of_step))
        return multiplier * self.sums.clip.norm / self.rows

    def take(self, hidden: NDArray[np.int32], output: NDArray[np.int32]) -> NDArray[np.float64]:
        """Of one step."""
        clip = self.sums.clip
        noised = self.releases.release(
            "gradient_sums",
            self.sums.of_all(hidden, output),
            sensitivity_squared=clip.bound**2,
            rho_e12=self.rho_of_step,
            scale=round(clip.scale),
        )
        return noised.values / (clip.scale * self.rows)


@dataclass(frozen=True, kw_only=True)
class SampledSteps:
    """Noised mean gradients over Poisson samples of persons; `rows` is how many rows one has, by released figures."""

    sums: GradientSums
    persons: PersonSampler
    releases: SampledReleases
    rows: float

    @property
    def deviation(self) -> float:
        """Of the noise of a mean gradient's coordinate; the sample's own comes on top."""
        return self.releases.rows_per_person * self.releases.noise * self.sums.clip.norm / self.rows

    def take(self, hidden: NDArray[np.int32], output: NDArray[np.int32]) -> NDArray[np.float64]:
        """Of one step."""
        clip = self.sums.clip
        sums = self.sums.of_rows(hidden, output, self.persons.draw())
        noised = self.releases.release_step(sums.cpu().numpy(), bound=clip.bound)
        return noised.values / (clip.scale * self.rows)


def noise_of_shares(shares: Sequence[tuple[int, int]], rows_per_person: int) -> tuple[float, ...]:
    """The noise multiplier that each (squared sensitivity, rho) buys, as the continuous accountant counts it."""
    return tuple(
        noise_multiplier(
            sigma_micro=gaussian_sigma_micro(sensitivity_squared=squared * rows_per_person**2, rho_e12=rho_e12),
            sensitivity_squared=squared * rows_per_person**2,
        )
        for squared, rho_e12 in shares
    )


class Learner:
    """The weights and Adam's moments: arithmetic on released sums only.

    Hidden weights start random, so that hidden sums start near 1 in size. The output starts as a scorecard's guess: the
    sum of the inputs' evidence, divided by the root of their number, for inputs say partly the same. `hidden` and
    `output` are rounded as they would serve; after the last step they are the mean over the later half.
    """

    def __init__(
        self,
        evidence: NDArray[np.int64],
        *,
        size: float,
        base_rate: float,
        rate: float,
        key: bytes,
        units: int = UNITS,
    ) -> None:
        *places, inputs = evidence.tolist()
        generator = np.random.default_rng(list(key))  # a start, not noise: it protects nobody
        hidden = generator.normal(0.0, 1.0 / size, (units, inputs))
        hidden[:, -1] = 0.0
        output = np.zeros(units + inputs)
        output[[units + place for place in places]] = 1 / math.sqrt(len(places))
        output[-1] = math.log(base_rate / (1 - base_rate))
        self._weights = np.concatenate([hidden.ravel(), output])
        self._first, self._second, self._sum = np.zeros((3, len(self._weights)))
        self._shape, self._steps, self._rate = hidden.shape, 0, rate
        self._serving = as_weights(self._weights)

    @property
    def hidden(self) -> NDArray[np.int32]:
        return self._serving[: math.prod(self._shape)].reshape(self._shape)

    @property
    def output(self) -> NDArray[np.int32]:
        return self._serving[math.prod(self._shape) :]

    def step(self, gradient: NDArray[np.float64]) -> None:
        """One step of Adam (Kingma and Ba 2015) down a noised mean gradient."""
        self._steps += 1
        rate = self._rate * 0.5 * (1 + math.cos(math.pi * self._steps / STEPS))
        self._first += (1 - FIRST_MOMENT) * (gradient - self._first)
        self._second += (1 - SECOND_MOMENT) * (gradient**2 - self._second)
        mean = self._first / (1 - FIRST_MOMENT**self._steps)
        deviation = np.sqrt(self._second / (1 - SECOND_MOMENT**self._steps))
        self._weights = self._weights - rate * mean / (deviation + 1e-8)
        if self._steps > STEPS // 2:
            self._sum += self._weights
        ended = self._steps == STEPS
        self._serving = as_weights(self._sum / (STEPS - STEPS // 2) if ended else self._weights)
