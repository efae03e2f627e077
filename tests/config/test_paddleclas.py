"""Files and keys of PaddleClas are recognised, and its files for evaluation are taken as they are."""

import pytest

from ppreid.base.errors import ConfigError, PpreidWarning
from ppreid.base.paddleclas import KEYS, is_foreign_key
from ppreid.cli import main
from ppreid.config.choices import key_names
from ppreid.config.load import load_config
from ppreid.config.schema import EvaluationConfig, TrainingConfig

# the keys that an evaluation there has, in its order and nesting
FILE = """\
Global:
  checkpoints: null
  pretrained_model: {weights}
  output_dir: {output}
  device: cpu
  epochs: 120
  image_shape: [3, 128, 256]
  re_ranking: True
Arch:
  name: RecModel
  Backbone: {{name: {backbone}, pretrained: True}}
  Head: {{name: FC, class_num: 751}}
Optimizer: {{name: Momentum, lr: {{name: Cosine, learning_rate: 0.04}}}}
DataLoader:
  Train: {{dataset: {{name: {data}, image_root: {root}}}}}
  Eval:
    Query:
      dataset:
        name: {data}
        image_root: {root}
        transform_ops:
          - ResizeImage: {{size: [16, 32], backend: pil}}
          - NormalizeImage: {{order: ''}}
      sampler: {{name: DistributedBatchSampler, batch_size: 16}}
      loader: {{num_workers: 0}}
    Gallery: {{dataset: {{name: {data}, image_root: {root}}}}}
Metric: {{Eval: [{{mAP: {{}}}}]}}
"""


@pytest.fixture
def foreign(tmp_path):
    """Writes such a file."""

    def write(**changes):
        facts = {"weights": "w", "output": tmp_path / "out", "backbone": "ResNet50_last_stage_stride1"}
        facts |= {"data": "Market1501", "root": "./dataset/", **changes}
        path = tmp_path / "foreign.yaml"
        path.write_text(FILE.format(**facts), encoding="utf-8")
        return path

    return write


def test_an_evaluation_file_is_taken_key_by_key(foreign):
    with pytest.warns(PpreidWarning) as caught:
        cfg = load_config(foreign(weights="./pd_model_trace/ISE/ISE_M_model"))
    assert isinstance(cfg, EvaluationConfig)
    assert cfg.model.weights == "./pd_model_trace/ISE/ISE_M_model.pdparams"
    assert (cfg.model.backbone, cfg.model.last_stride) == ("resnet50", 1)
    assert (cfg.data.name, cfg.data.root, cfg.data.height, cfg.data.width) == ("market1501", "./dataset/", 32, 16)
    assert (cfg.eval.batch_size, cfg.eval.rerank, cfg.data.num_workers, cfg.device) == (16, True, 0, "cpu")
    text = str(caught[0].message)
    assert "data.name=market1501 (DataLoader.Eval.Query.dataset.name)" in text and "not read" in text


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("Global.pretrained_model=./ISE_MS_model", "model.weights", "./ISE_MS_model.pdparams"),
        ("Global.pretrained_model=a.pdparams", "model.weights", "a.pdparams"),
        ("Global.pretrained_model=20240501", "model.weights", "20240501.pdparams"),
        ("DataLoader.Eval.Query.dataset.name=MSMT17", "data.name", "msmt17"),
        ("DataLoader.Eval.Query.sampler.batch_size=64", "eval.batch_size", 64),
        ("Arch.Backbone.name=ResNet101", "model.last_stride", 2),
        ("Global.re_ranking=False", "eval.rerank", False),
        ("data.root=/datasets", "data.root", "/datasets"),
    ],
)
@pytest.mark.filterwarnings("ignore::ppreid.base.errors.PpreidWarning")
def test_overrides_of_such_a_file_may_be_in_its_own_keys_and_in_ours(override, key, value, foreign):
    section, _, name = key.partition(".")
    assert getattr(getattr(load_config(foreign(), [override]), section), name) == value


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": "VeRi_Wild"}, r"foreign\.yaml:19: data\.name is 'veri_wild'; did you mean"),
        ({"backbone": "OSNet_x1_0"}, r"foreign\.yaml:11: model\.backbone is 'osnet_x1_0'; .*choose one of"),
    ],
)
@pytest.mark.filterwarnings("ignore::ppreid.base.errors.PpreidWarning")
def test_what_has_no_counterpart_is_reported_at_its_line(changes, message, foreign):
    with pytest.raises(ConfigError, match=message):
        load_config(foreign(**changes))


@pytest.mark.filterwarnings("ignore::ppreid.base.errors.PpreidWarning")
def test_a_value_that_cannot_be_read_is_reported_with_its_key(foreign):
    with pytest.raises(ConfigError, match=r"Query\.sampler\.batch_size=many: .*batch_size is 'many', which cannot be"):
        load_config(foreign(), ["DataLoader.Eval.Query.sampler.batch_size=many"])


def test_foreign_overrides_of_our_files_are_answered_with_our_keys():
    overrides = ["Global.pretrained_model=x", "solver.lr=1", "Optimizer.lr.learning_rate=0.1", "Global.none=1"]
    with pytest.raises(ConfigError) as caught:
        load_config("demo.yaml", overrides)
    assert str(caught.value).splitlines()[1:] == [
        "  - Global.pretrained_model is a key of PaddleClas; here it is model.weights, with the suffix of the file",
        "  - Optimizer.lr.learning_rate is a key of PaddleClas; here it is solver.lr",
        "  - Global.none is a key of PaddleClas; here it is nothing, it has no counterpart",
    ]


@pytest.mark.parametrize("name", KEYS)
def test_every_counterpart_is_a_key_or_an_option_of_ours(name):
    assert is_foreign_key(name)
    ours, here = set(key_names(TrainingConfig)), KEYS[name].here
    words = {word.strip(",").partition("=")[0] for word in here.split()}
    assert words & ours or "ppreid" in words, here


@pytest.mark.filterwarnings("ignore::ppreid.base.errors.PpreidWarning")
def test_the_command_evaluates_with_such_a_file(foreign, tiny_root, tmp_path, capsys):
    arguments = ["eval", "-c", str(foreign(data="demo", root=tiny_root, weights=tmp_path / "none"))]
    assert main(arguments) == 4
    assert "none.pdparams" in capsys.readouterr().err
    assert main(["train", *arguments[1:]]) == 2
    assert "is for evaluation only" in capsys.readouterr().err
