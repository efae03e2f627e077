from pathlib import Path

import pytest
import yaml

from ppreid import tables
from ppreid.base.errors import ConfigError
from ppreid.config.load import config_text, find_config, load_config
from ppreid.config.schema import EvaluationConfig, TrainingConfig


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def refusal(path: Path, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides)
    return str(caught.value)


def test_empty_file_gives_the_defaults(tmp_path):
    assert load_config(write(tmp_path, "empty.yaml", "")) == TrainingConfig()


def test_values_come_from_override_then_file_then_base(tmp_path):
    write(tmp_path, "grand.yaml", "solver: {lr: 0.1, epochs: 1, iters: 1}\ndata: {name: msmt17}\n")
    (tmp_path / "sub").mkdir()
    write(tmp_path, "sub/base.yaml", "base: ../grand.yaml\nsolver: {epochs: 2, iters: 2}\n")
    path = write(tmp_path, "sub/mine.yaml", "base: base.yaml\nsolver:\n  iters: 3\n")
    cfg = load_config(path, ["solver.lr=1e-3"])
    assert (cfg.solver.lr, cfg.solver.epochs, cfg.solver.iters, cfg.data.name) == (1e-3, 2, 3, "msmt17")


def test_the_configuration_cannot_be_changed(tmp_path):
    cfg = load_config(write(tmp_path, "a.yaml", ""))
    with pytest.raises(ValueError, match="frozen"):
        cfg.solver.lr = 1.0


def test_all_problems_are_listed_at_once_with_file_line_and_nearest_match(tmp_path):
    path = write(
        tmp_path,
        "bad.yaml",
        "data:\n  name: markt1501\nsolver:\n  lrr: 1\n  lr: -1\n  epochs: 3.5\neps: 0.3\nmodel: 3\n",
    )
    text = refusal(path, "data.on_bad_image=skp", "log.every=true")
    assert text.startswith("8 problems")
    for line in (
        f"{path}:2: data.name is 'markt1501'; did you mean 'market1501'? choose one of: camera_folder, demo",
        f"{path}:4: unknown key solver.lrr; did you mean solver.lr? allowed in solver: epochs",
        f"{path}:5: solver.lr is -1; it should be greater than 0",
        f"{path}:6: solver.epochs is 3.5",
        f"{path}:7: unknown key eps; did you mean labels.eps?",
        f"{path}:8: model is 3; it is a section",
        "-o data.on_bad_image=skp: data.on_bad_image is 'skp'; did you mean 'skip'? choose one of: error, skip",
        "-o log.every=true: log.every is True",
    ):
        assert line in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("labels: {k1: 4, k2: 6}", "k2 must not exceed k1"),
        ("model: {bn_chunks: 3}", "it must divide the batch of 256 images"),
        ("batch: {identities: 1, images: 1}", "cannot be normalised"),
        ("{batch: {accumulate: 3}, model: {bn_chunks: 4}}", "batch.accumulate is 3 and model.bn_chunks is 4"),
        ("solver: {lr: .nan}", "finite"),
        ("labels: {eps: 0}", "greater than 0"),
        ("labels: {eps: {}}", "valid number"),
        ("task: trian", "did you mean 'train'"),
        ("base: nothing.yaml", "does not exist"),
        ("base: self.yaml", "circle"),
        ("- a\n- b", "must hold keys and values"),
        ("a: [1", "not plain YAML"),
        ("seed: 1\nseed: 2", "stands twice"),
        ("seed: !!python/object/apply:os.system ['true']", "not plain YAML"),
        ("data: {name: '{reason}'}", "data.name is '{reason}'"),
    ],
)
def test_wrong_files_are_refused(tmp_path, text, message):
    path = write(tmp_path, "self.yaml", text)
    assert message in refusal(path)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("solver.lr", "KEY=VALUE"),
        ("=3", "KEY=VALUE"),
        ("solver..lr=3", "KEY=VALUE"),
        ("seed.deep=3", "'seed' is a value"),
        ("seed=[", "not plain YAML"),
        ("seed=!!python/name:os.system", "not plain YAML"),
        ("seed=-1", "-o seed=-1: seed is -1"),
    ],
)
def test_wrong_overrides_are_refused(tmp_path, override, message):
    path = write(tmp_path, "a.yaml", "seed: 1\n")
    assert message in refusal(path, override)


def test_evaluation_refuses_a_key_that_it_does_not_read(tmp_path):
    path = write(tmp_path, "eval.yaml", "task: evaluate\nlabels:\n  eps: 0.4\nmodel:\n  bn_chunks: 4\n")
    text = refusal(path)
    assert f"{path}:2: evaluation does not read labels" in text
    assert f"{path}:5: evaluation does not read model.bn_chunks" in text


def test_the_resolved_text_can_be_run_again(tmp_path):
    cfg = load_config(write(tmp_path, "a.yaml", "data: {name: demo}\n"), ["solver.lr=3.5e-4", "labels.eps=0.55"])
    again = load_config(write(tmp_path, "resolved.yaml", config_text(cfg)))
    assert again == cfg


def test_a_name_is_known_as_soon_as_its_row_is_in_the_table(tmp_path, monkeypatch):
    path = write(tmp_path, "a.yaml", "labels: {clusterer: mine}\n")
    assert "labels.clusterer is 'mine'" in refusal(path)
    monkeypatch.setitem(tables.CLUSTERERS, "mine", tables.Clusterer(lambda distances, *, eps, min_samples: None))
    assert load_config(path).labels.clusterer == "mine"


def test_a_file_is_found_by_name_and_by_the_paths_of_the_published_documentation(checkout, tmp_path, monkeypatch):
    expected = checkout / "configs" / "ResNet50_UReID_infer.yaml"
    monkeypatch.chdir(tmp_path)
    assert find_config("ResNet50_UReID_infer.yaml").samefile(expected)
    assert find_config("./ppcls/configs/Person/ResNet50_UReID_infer.yaml").samefile(expected)
    own = write(tmp_path, "ResNet50_UReID_infer.yaml", "task: evaluate\n")
    assert find_config("ResNet50_UReID_infer.yaml").samefile(own)


def test_a_missing_file_is_reported_with_the_nearest_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"Did you mean ise_market1501\.yaml\?"):
        find_config("ise_markt1501.yaml")
    # the folder exists, so the user means this file and no other of the same name
    with pytest.raises(ConfigError, match="no file"):
        find_config(tmp_path / "demo.yaml")


def test_the_suffix_of_a_name_may_be_left_out(checkout, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_config("ise_market1501").samefile(checkout / "configs" / "ise_market1501.yaml")
    (tmp_path / "configs").mkdir()
    own = write(tmp_path, "configs/mine.v2.yaml", "")
    assert find_config("mine.v2").samefile(own)


def test_the_base_of_a_file_that_was_copied_is_found_by_its_name(checkout, tmp_path):
    copy = write(tmp_path, "mine.yaml", (checkout / "configs" / "ise_market1501.yaml").read_text(encoding="utf-8"))
    assert load_config(copy) == load_config("ise_market1501.yaml")
    own = write(tmp_path, "base.yaml", "seed: 7\n")  # the one beside the file comes first
    assert load_config(copy).seed == load_config(own).seed == 7


def test_a_name_that_is_too_long_for_a_file_is_refused():
    with pytest.raises(ConfigError, match=r"cannot read xxx|no file xxx"):
        find_config("x" * 5000)


def test_an_ambiguous_name_is_refused(tmp_path, monkeypatch):
    for folder in ("a", "b"):
        (tmp_path / "configs" / folder).mkdir(parents=True)
        write(tmp_path / "configs" / folder, "twice.yaml", "")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="ambiguous"):
        find_config("twice.yaml")


def test_every_file_under_configs_loads_and_has_a_header(checkout):
    files = sorted((checkout / "configs").rglob("*.yaml"))
    assert len(files) >= 11
    for file in files:
        load_config(file)
        header = [line for line in file.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
        for word in ("What:", "Command:", "Hardware:", "Expected:", "Source:"):
            assert any(line.startswith(f"# {word}") for line in header), f"{file.name} lacks {word}"


def test_the_recipe_of_transreid_ssl(checkout):
    for dataset, eps, chunks in (("market1501", 0.6, 4), ("msmt17", 0.7, 2)):
        for stem in ("", "_ics"):
            cfg = load_config(checkout / "configs" / f"transreid_ssl{stem}_{dataset}.yaml")
            solver = cfg.solver.model_dump(
                include={"optimizer", "momentum", "lr", "weight_decay", "lr_step", "lr_gamma"}
            )
            assert solver == {
                "optimizer": "sgd",
                "momentum": 0.9,
                "lr": 3.5e-4,
                "weight_decay": 5e-4,
                "lr_step": 20,
                "lr_gamma": 0.1,
            }
            assert (cfg.solver.epochs, cfg.solver.iters, cfg.batch.identities, cfg.batch.images) == (50, 200, 32, 8)
            assert (cfg.data.name, cfg.data.size, cfg.data.mean, cfg.data.std) == (
                dataset,
                (256, 128),
                [0.5] * 3,
                [0.5] * 3,
            )
            assert (cfg.model.backbone, cfg.model.bn_chunks) == (f"vit_small{stem}", chunks)
            assert (cfg.model.drop_path, cfg.model.position_ratio) == (0.3, 2)
            assert (cfg.labels.eps, cfg.labels.min_samples, cfg.labels.k1, cfg.labels.k2) == (eps, 4, 30, 6)
            assert (cfg.memory.update, cfg.memory.momentum, cfg.ise.objective) == ("hard", 0.2, "baseline")
        ise = load_config(checkout / "configs" / f"ise_vit_{dataset}.yaml")
        wanted = load_config(checkout / "configs" / f"ise_{dataset}.yaml").ise
        assert ise.ise == wanted
        assert ise.model_copy(update={"ise": cfg.ise, "output_dir": cfg.output_dir}) == cfg
    for stem in ("", "_ics"):
        infer = load_config(checkout / "configs" / f"transreid_ssl{stem}_infer.yaml")
        trained = load_config(checkout / "configs" / f"transreid_ssl{stem}_market1501.yaml")
        assert (infer.data.size, infer.data.mean, infer.data.std) == (
            trained.data.size,
            trained.data.mean,
            trained.data.std,
        )
        assert infer.model.backbone == trained.model.backbone
        assert infer.model.position_ratio == trained.model.position_ratio


PAPER_RECIPES = {
    "market1501": {"eps": 0.4, "update": "hard", "momentum": 0.2, "lp_weight": 0.1, "epochs": 70, "lr_step": 30},
    "msmt17": {"eps": 0.7, "update": "sequential", "momentum": 0.1, "lp_weight": 0.01, "epochs": 50, "lr_step": 20},
}


@pytest.mark.parametrize("dataset", PAPER_RECIPES)
@pytest.mark.parametrize("row", ["baseline", "ise_pli", "ise_lp", "ise"])
def test_the_eight_cells_of_the_papers_table_have_the_released_recipe(row, dataset):
    cfg = load_config(f"{row}_{dataset}.yaml")
    recipe = PAPER_RECIPES[dataset]
    assert cfg.data.name == dataset
    assert cfg.ise.objective == row
    assert (cfg.labels.eps, cfg.labels.k1, cfg.labels.k2, cfg.labels.min_samples) == (recipe["eps"], 30, 6, 4)
    assert (cfg.memory.update, cfg.memory.momentum) == (recipe["update"], recipe["momentum"])
    assert (cfg.ise.lp_weight, cfg.ise.lp_temperature, cfg.ise.temperature) == (recipe["lp_weight"], 0.6, 0.05)
    assert (cfg.solver.epochs, cfg.solver.lr_step, cfg.solver.iters) == (recipe["epochs"], recipe["lr_step"], 400)
    assert (cfg.solver.lr, cfg.solver.weight_decay, cfg.batch.identities, cfg.batch.images) == (3.5e-4, 5e-4, 16, 16)
    assert (cfg.model.backbone, cfg.model.bn_chunks, cfg.data.height, cfg.data.width) == ("resnet50", 4, 256, 128)


def test_the_evaluation_config_is_evaluation_only():
    assert isinstance(load_config("ResNet50_UReID_infer.yaml"), EvaluationConfig)


def test_every_key_is_documented():
    def undocumented(schema, prefix=""):
        for name, info in schema.model_fields.items():
            if hasattr(info.annotation, "model_fields"):
                yield from undocumented(info.annotation, f"{prefix}{name}.")
            elif not info.description:
                yield prefix + name

    assert not list(undocumented(TrainingConfig)) + list(undocumented(EvaluationConfig))


def test_yaml_numbers_with_an_exponent_are_numbers(tmp_path):
    cfg = load_config(write(tmp_path, "a.yaml", "solver: {lr: 1e-3, weight_decay: 5E-4}\n"))
    assert (cfg.solver.lr, cfg.solver.weight_decay) == (1e-3, 5e-4)
    assert yaml.safe_load(config_text(cfg))["solver"]["lr"] == 1e-3


BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 60))
MERGED = "a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}\n" for i in range(1, 60))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "more than 20,000 values"),
        (MERGED, "more than 20,000 values"),
        ("a: &a [*a]", "more than 20,000 values"),
        ("[" * 100_000, "nested too deeply"),
        ("seed: " + "9" * 5000, "integer string conversion"),
        ("seed: 2026-99-99", "month must be in"),
        ("? [a, b]\n: 1", "unhashable"),
        ("seed: 1\0", "not allowed"),
        ("seed: !!python/object/new:os.system ['true']", "could not determine a constructor"),
        ("!!binary x: 1", "failed to decode|not plain YAML"),
    ],
    ids=["bomb", "merge bomb", "circle", "deep", "long number", "no date", "list as key", "nul", "object", "binary"],
)
def test_texts_that_are_made_to_harm_are_refused_at_once(tmp_path, text, message):
    path = tmp_path / "hostile.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(path)
    assert "hostile.yaml is not plain YAML" in str(caught.value) and len(str(caught.value)) < 1000
    with pytest.raises(ConfigError, match=message):
        load_config(write(tmp_path, "empty.yaml", ""), [f"seed={{{text}}}" if "\n" not in text else f"seed={text}"])


@pytest.mark.parametrize("text", ["__import__('os').system('touch sentinel')", "$(touch sentinel)", "{{7*7}}"])
def test_an_override_is_a_value_and_never_a_program(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path, "a.yaml", "")
    assert load_config(path, [f"output_dir='{text.replace(chr(39), chr(39) * 2)}'"]).output_dir == text
    refusal(path, f"seed={text}")
    assert not (tmp_path / "sentinel").exists()
