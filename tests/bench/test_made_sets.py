"""The made sets are what a schema and a frame take, the same each time, with people of either kind."""

import numpy as np
import pytest

from bench.made_sets import SETS, make_set
from scoring.frame import read_frame


@pytest.mark.parametrize("name", SETS)
def test_a_made_set_is_read_whole_and_is_the_same_each_time(name: str) -> None:
    schema, rows = make_set(name)
    frame = read_frame(schema, rows, schema.unprotected)
    assert len(frame.labels) == len(rows) >= 500
    assert 0.01 < frame.labels.mean() < 0.7
    assert make_set(name)[1] == rows
    for place, column in frame.graded:
        assert len(np.unique(frame.cells[:, place])) > 1
        if column in schema.features:
            absent = (frame.cells[:, place] == column.cells.absent).sum()
            assert absent == sum(not row[column.name] for row in rows)
