import numpy as np
import paddle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ppreid.base.errors import TrainingError
from ppreid.ise.class_rows import check_labels, host_labels, rows_by_class


def test_rows_of_unequal_classes():
    groups = rows_by_class(np.array([7, 2, 7, 5, 7, 2]))
    assert groups.classes.tolist() == [2, 5, 7]
    assert groups.rows.tolist() == [[1, 5, 1], [3, 3, 3], [0, 2, 4]]
    assert groups.valid.tolist() == [[True, True, False], [True, False, False], [True, True, True]]


@given(st.lists(st.integers(0, 6), min_size=1, max_size=30))
@settings(max_examples=50, deadline=None)
def test_every_row_appears_once_under_its_class(labels):
    labels = np.array(labels)
    groups = rows_by_class(labels)
    assert sorted(groups.rows[groups.valid].tolist()) == list(range(labels.size))
    assert (labels[groups.rows] == groups.classes[:, None]).all()


def test_host_labels_takes_tensors_and_arrays():
    for labels in (paddle.to_tensor([3, 1]), np.array([3, 1], dtype=np.int32)):
        host = host_labels(labels)
        assert host.dtype == np.int64
        assert host.tolist() == [3, 1]


def test_outliers_are_refused():
    check_labels(np.array([0, 2]), 3)
    with pytest.raises(TrainingError, match=r"1 of 3 labels have no centroid, for example -1; .* clusters 0\.\.1"):
        check_labels(np.array([0, -1, 1]), 2)


def test_a_label_behind_the_last_centroid_is_refused():
    with pytest.raises(TrainingError, match=r"2 of 3 labels have no centroid, for example 2; .* clusters 0\.\.1"):
        check_labels(np.array([2, 1, 3]), 2)
