import pytest

from ppreid.base.errors import DataError
from ppreid.config.schema import TrainingConfig
from ppreid.verbs.inputs import read_split


def test_a_part_of_unreadable_images_only_is_an_error(tmp_path):
    for part in ("bounding_box_train", "query", "bounding_box_test"):
        folder = tmp_path / "demo" / part
        folder.mkdir(parents=True)
        (folder / "0001_c1s1_000001_00.jpg").write_bytes(b"no image")
    data = TrainingConfig.model_validate({"data": {"name": "demo", "root": str(tmp_path), "on_bad_image": "skip"}}).data
    with pytest.raises(DataError, match="all 1 images of the train part are unreadable"):
        read_split(data, skipped_list=tmp_path / "list.txt")
