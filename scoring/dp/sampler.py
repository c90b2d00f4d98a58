"""Discrete Gaussian noise over integer vectors: OpenDP's sampler for releases, and one for tests."""

import math
from typing import Protocol

import numpy as np
import opendp.prelude as opendp
from numpy.typing import NDArray


class Sampler(Protocol):
    """Adds independent discrete Gaussian noise of deviation at least sigma_micro / 10^6 to each integer."""

    @property
    def source(self) -> str:
        """What the card says of the noise's randomness; an artifact loads only with "os"."""

    def add_noise(self, sums: NDArray[np.int64], *, sigma_micro: int) -> NDArray[np.int64]: ...


class SystemSampler:
    """OpenDP's exact discrete Gaussian (Canonne, Kamath, Steinke 2020) over OpenSSL's generator, keyed by the system.

    Exact rational arithmetic throughout: no floating point touches the noise. Sums saturate at 64 bits.
    """

    source = "os"

    def __init__(self) -> None:
        opendp.enable_features("contrib")  # OpenDP's name for its own library of proven measurements

    def add_noise(self, sums: NDArray[np.int64], *, sigma_micro: int) -> NDArray[np.int64]:
        space = opendp.vector_domain(opendp.atom_domain(T=opendp.i64)), opendp.l2_distance(T=opendp.f64)
        sigma = math.nextafter(sigma_micro / 1e6, math.inf)  # the nearest double may lie below
        return np.array(opendp.m.make_gaussian(*space, scale=sigma)(sums.tolist()), dtype=np.int64)


class SeededSampler:
    """For tests only: a rounded normal from a seed, or no noise at all. What it trains does not load."""

    def __init__(self, seed: int, *, noiseless: bool = False) -> None:
        self._generator = np.random.default_rng(seed)
        self._noiseless = noiseless

    @property
    def source(self) -> str:
        return "none" if self._noiseless else "seeded"

    def add_noise(self, sums: NDArray[np.int64], *, sigma_micro: int) -> NDArray[np.int64]:
        if self._noiseless:
            return sums.copy()
        noise = np.rint(self._generator.normal(0.0, sigma_micro / 1e6, len(sums)))
        noised: NDArray[np.int64] = sums + noise.astype(np.int64)
        return noised
