"""The clipped sum on a CUDA device: the data stays there, and a step is replays of one captured graph.

It has not been run on a device yet: none was at hand. Without one the same sums run uncaptured, which is how they are
tested. A graph has fixed shapes, so rows come in physical batches of BLOCK_ROWS places, the last one filled up with the
place of a row that is zero throughout, the constant input too, and so adds exactly nothing. A sample of any size is
covered by as many batches as it takes: nothing overflows, and there is nothing of it to account for in delta.
Doubles multiply and add on a device as on a processor, rounded as IEEE 754 says, and the sums are of integers that
doubles hold: what a device computes is bit for bit what the tests compute.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from scoring.network.gradients import BLOCK_ROWS, Clip, build_batch, clipped_sums

WARMING_RUNS = 3
"""Before a capture, on a stream of its own, as torch asks: they load kernels, which no graph may."""


class CapturedSums:
    """Clipped gradient sums over rows that stay on their device: (d, rows) `inputs`, (rows,) `labels`."""

    def __init__(self, inputs: torch.Tensor, labels: torch.Tensor, *, units: int, clip: Clip) -> None:
        self._nobody = len(labels)
        self._inputs = torch.cat([inputs, inputs.new_zeros((len(inputs), 1))], dim=1)
        self._labels = torch.cat([labels, labels.new_zeros(1)])
        self._clip = clip
        self._places = torch.full((BLOCK_ROWS,), self._nobody, dtype=torch.int64, device=inputs.device)
        self._hidden = inputs.new_zeros((units, len(inputs)))
        self._output = inputs.new_zeros(units + len(inputs))
        self._total = torch.zeros(self._hidden.numel() + self._output.numel(), dtype=torch.int64, device=inputs.device)
        self._graph = self._capture() if inputs.is_cuda else None

    def sum(self, hidden: NDArray[np.int32], output: NDArray[np.int32], rows: NDArray[np.int64]) -> torch.Tensor:
        """The sum over the rows at these places, in whole integer units, on the processor."""
        self._hidden.copy_(torch.from_numpy(hidden))
        self._output.copy_(torch.from_numpy(output))
        self._total.zero_()
        for start in range(0, len(rows), BLOCK_ROWS):
            places = torch.full((BLOCK_ROWS,), self._nobody, dtype=torch.int64)
            here = rows[start : start + BLOCK_ROWS]
            places[: len(here)] = torch.from_numpy(here)
            self._places.copy_(places)
            if self._graph is None:
                self._add()
            else:
                self._graph.replay()
        return self._total.cpu()

    def _add(self) -> None:
        batch = build_batch(self._inputs[:, self._places], self._labels[self._places])
        self._total += clipped_sums(batch, self._hidden, self._output, self._clip).to(torch.int64)

    def _capture(self) -> torch.cuda.CUDAGraph:
        stream = torch.cuda.Stream(self._inputs.device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream(self._inputs.device))
        with torch.cuda.stream(stream):
            for _ in range(WARMING_RUNS):
                self._add()
        torch.cuda.current_stream(self._inputs.device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._add()
        return graph
