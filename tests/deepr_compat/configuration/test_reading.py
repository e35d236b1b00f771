"""YAML to a checked configuration: nothing unknown, nothing dropped, nothing built."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deepr_compat.configuration.conftest import (
    DIFFUSION,
    EXAMPLES,
    change,
    end2end,
    evaluation,
    vqvae,
)
from xdeepr.deepr_compat.configuration.reading import read_configuration
from xdeepr.errors import OptionError

PARAMETERS = "training_configuration.training_parameters"
FEATURES = "data_configuration.features_configuration"


def leaves(section: Any, path: str = "") -> list[str]:
    """Paths of all keys of a nested mapping, sections and values alike."""
    found = []
    for key, value in section.items():
        here = f"{path}.{key}".lstrip(".")
        found.append(here)
        if isinstance(value, dict) and key not in ("kwargs", "time_features"):
            found += leaves(value, here)
    return found


def rename(configuration: dict[str, Any], path: str) -> tuple[dict[str, Any], str]:
    """Misspell one key: its last letter is lost."""
    *above, key = path.split(".")
    section = configuration
    for name in above:
        section = section[name]
    section[key[:-1]] = section.pop(key)
    return configuration, ".".join([*above, key[:-1]])


def test_every_published_kind_is_read(published: dict[str, Any]) -> None:
    configuration = read_configuration(published)
    assert configuration.training_configuration is not None
    assert configuration.data_configuration is not None


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yml")), ids=lambda path: path.stem)
def test_every_example_is_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDEEPR_DATA_DIR", "/anywhere")
    configuration = read_configuration(path)
    assert configuration.data_configuration is not None


def test_there_are_examples_of_all_kinds() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.yml")} >= {
        "diffusion", "swin2sr", "conv_baseline", "bicubic_evaluation", "vqvae", "latent"
    }  # fmt: skip


@pytest.mark.parametrize("path", leaves(DIFFUSION))
def test_a_misspelt_key_is_named_with_its_path(path: str, diffusion: dict[str, Any]) -> None:
    """At every level: no key of the whole file can be lost to a typo."""
    wrong, place = rename(diffusion, path)
    with pytest.raises(OptionError) as error:
        read_configuration(wrong)
    assert f"{place}: unknown key" in str(error.value)


@pytest.mark.parametrize(
    ("path", "nearest"),
    [
        (f"{PARAMETERS}.learning_rate", "learning_rate"),
        (f"{FEATURES}.add_auxiliary.lsm-low", "lsm-low"),
        ("data_configuration.split_coverages.test.start", "start"),
        ("training_configuration", "training_configuration"),
    ],
)
def test_the_nearest_key_is_named(path: str, nearest: str, diffusion: dict[str, Any]) -> None:
    wrong, place = rename(diffusion, path)
    with pytest.raises(OptionError, match=f"{place}: unknown key. Nearest: {nearest}"):
        read_configuration(wrong)


def test_a_key_in_the_wrong_section_is_sent_to_its_own(diffusion: dict[str, Any]) -> None:
    change(diffusion, "training_configuration.learning_rate", 0.1)
    change(diffusion, "training_configuration.training_parameters.inference_steps", 10)
    with pytest.raises(OptionError) as error:
        read_configuration(diffusion)
    assert f"learning_rate: unknown key. It belongs under {PARAMETERS}" in str(error.value)
    assert "inference_steps: unknown key. It belongs under validation_configuration" in str(
        error.value
    ) or "inference_steps: unknown key. It belongs under inference_configuration" in str(
        error.value
    )


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (f"{PARAMETERS}.num_epochs", "many"),
        (f"{PARAMETERS}.num_epochs", 0),
        (f"{PARAMETERS}.num_epochs", True),
        (f"{PARAMETERS}.num_epochs", 2.5),
        (f"{PARAMETERS}.learning_rate", "fast"),
        (f"{PARAMETERS}.learning_rate", True),
        (f"{PARAMETERS}.learning_rate", -1.0),
        (f"{PARAMETERS}.mixed_precision", "fp12"),
        (f"{PARAMETERS}.hour_embed_type", "klass"),
        (f"{PARAMETERS}.push_to_hub", "maybe"),
        (f"{PARAMETERS}.output_dir", 3),
        (f"{PARAMETERS}.output_dir", ""),
        (f"{PARAMETERS}.max_time", "soon"),
        (f"{PARAMETERS}.window", [1, 2, 3]),
        (f"{PARAMETERS}.save_image_epochs", "often"),
        ("training_configuration.type", "difusion"),
        ("training_configuration.model_configuration.eps_model.kwargs", [1]),
        ("training_configuration.model_configuration.eps_model.class_name", None),
        (f"{FEATURES}.variables", []),
        (f"{FEATURES}.variables", [2]),
        (f"{FEATURES}.spatial_coverage.longitude", [1.0]),
        (f"{FEATURES}.spatial_coverage.latitude", [95, 40]),
        (f"{FEATURES}.standardization.method", "cell-wise"),
        (f"{FEATURES}.standardization", "yes"),
        (f"{FEATURES}.add_auxiliary", "time"),
        (f"{FEATURES}.data_location", "/$XDEEPR_NO_SUCH_VARIABLE/x"),
        ("data_configuration.split_coverages.train.start", "first of May"),
        ("data_configuration.split_coverages.train.end", "1980-01"),
        ("data_configuration.split_coverages.train.frequency", "fortnightly"),
        ("data_configuration", "somewhere"),
    ],
)
def test_a_wrong_value_is_named_with_its_path(
    path: str, value: Any, diffusion: dict[str, Any]
) -> None:
    with pytest.raises(OptionError) as error:
        read_configuration(change(diffusion, path, value))
    # a check of several keys together names the section that holds them
    assert path in str(error.value) or path.rsplit(".", 1)[0] in str(error.value)
    assert str(error.value).startswith("the configuration: ")


def test_all_problems_are_named_at_once(diffusion: dict[str, Any]) -> None:
    change(diffusion, f"{PARAMETERS}.num_epoch", 1)
    change(diffusion, f"{FEATURES}.data_nam", "x")
    change(diffusion, "training_configuration.type", "gan")
    with pytest.raises(OptionError, match="has 3 errors"):
        read_configuration(diffusion)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("mixed_precision", False, "no"),  # YAML 1.1 reads a bare no as false
        ("mixed_precision", "None", None),
        ("hour_embed_type", None, "none"),
        ("learning_rate", "1e-4", 1e-4),  # YAML 1.1 reads 1e-4 as text
        ("static_covariables", "orog-high", ("orog-high",)),
        ("window", 32, (32, 32)),
        ("train_batch_size", 3, 3),
    ],
)
def test_spellings_that_yaml_makes(
    key: str, value: Any, expected: Any, diffusion: dict[str, Any]
) -> None:
    if key == "train_batch_size":
        del diffusion["training_configuration"]["training_parameters"]["batch_size"]
    configuration = read_configuration(change(diffusion, f"{PARAMETERS}.{key}", value))
    assert getattr(configuration.training_configuration.training_parameters, key) == expected


@pytest.mark.parametrize(
    ("start", "end"), [(1981, 2013), ("1981", "2013"), ("1981-01-01", "2013-12-31")]
)
def test_periods_may_be_years_months_or_days(
    start: Any, end: Any, diffusion: dict[str, Any]
) -> None:
    """YAML makes numbers of years and dates of days."""
    text = yaml.safe_dump(diffusion).replace("start: 1981-01\n", f"start: {start}\n")
    text = text.replace("end: 2013-12\n", f"end: {end}\n")
    wanted = read_configuration(diffusion).data_configuration.split_coverages.train
    read = read_configuration(yaml.safe_load(text)).data_configuration.split_coverages.train
    assert read.bounds()[0] == wanted.bounds()[0]
    assert read.months() == wanted.months()


def test_the_frequency_names_months() -> None:
    from xdeepr.deepr_compat.configuration.schema_data import Period

    assert len(Period(start="2001-01", end="2002-12").months()) == 24
    assert len(Period(start="2001-01", end="2002-12", frequency="M").months()) == 24
    assert Period(start="2001", end="2002", frequency="YS").months() == {"200101", "200201"}
    assert Period(start="2001-03-07", end="2001-04-02", frequency="D").months() == {
        "200103", "200104"
    }  # fmt: skip


def test_older_spellings_mean_the_same(diffusion: dict[str, Any]) -> None:
    new = read_configuration(diffusion).data_configuration
    old = read_configuration(end2end("ConvSwin2SR", {})).data_configuration
    for section in ("features_configuration", "label_configuration"):
        ours, theirs = getattr(new, section), getattr(old, section)
        assert ours.location == theirs.location
        assert ours.scaling.method == theirs.scaling.method
        assert ours.scaling.to_do == theirs.scaling.to_do


def test_add_auxiliary_may_be_true_or_false(diffusion: dict[str, Any]) -> None:
    for value in (True, False):
        read = read_configuration(change(diffusion, f"{FEATURES}.add_auxiliary", value))
        auxiliary = read.data_configuration.features_configuration.add_auxiliary
        assert auxiliary.time is value
        assert auxiliary.statics() == ()


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (f"{FEATURES}.data_dir", "/x", "data_location and data_dir mean the same"),
        (f"{FEATURES}.apply_standardization", True, "mean the same"),
        (f"{FEATURES}.factor", 4, "exclude each other"),
        ("data_configuration.label_configuration.variables", ["t2m"], "one of variable and"),
        ("data_configuration.common_configuration", {"temporal_coverage": {"start": 2000,
         "end": 2001}}, "split_coverages and common_configuration"),
        (f"{PARAMETERS}.train_batch_size", 4, "mean the same"),
        (f"{PARAMETERS}.time_features", {"hour": "class"}, "mean the same"),
        ("training_configuration.model_configuration.neural_network", {"class_name": "UNet"},
         "has no place in type 'diffusion'"),
    ],
)  # fmt: skip
def test_two_keys_that_say_the_same_are_refused(
    path: str, value: Any, message: str, diffusion: dict[str, Any]
) -> None:
    with pytest.raises(OptionError, match=message):
        read_configuration(change(diffusion, path, value))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("training_configuration.model_configuration.eps_model", "needs .*eps_model"),
        ("training_configuration.training_parameters", "training_parameters is missing"),
        (f"{PARAMETERS}.output_dir", "output_dir: missing"),
        (f"{FEATURES}.data_location", "data_location is missing"),
        (f"{FEATURES}.variables", "variables is missing"),
        ("data_configuration.label_configuration.variable", "one of variable and variables"),
        ("data_configuration.split_coverages.train.end", "end: missing"),
        ("data_configuration", "data_configuration is missing"),
    ],
)
def test_missing_keys_are_named(path: str, message: str, diffusion: dict[str, Any]) -> None:
    *above, key = path.split(".")
    section = diffusion
    for name in above:
        section = section[name]
    del section[key]
    with pytest.raises(OptionError, match=message):
        read_configuration(diffusion)


def test_a_trained_model_needs_no_parameters() -> None:
    training = read_configuration(evaluation()).training_configuration
    assert training.trained == "someone/model"


def test_nothing_to_do_is_an_error() -> None:
    with pytest.raises(OptionError, match="nothing to do"):
        read_configuration({"data_configuration": vqvae()["data_configuration"]})


def test_a_configuration_cannot_be_changed(diffusion: dict[str, Any]) -> None:
    configuration = read_configuration(diffusion)
    with pytest.raises(ValueError, match="frozen"):
        configuration.training_configuration = None


def test_reading_leaves_the_mapping_as_it_was(diffusion: dict[str, Any]) -> None:
    before = copy.deepcopy(diffusion)
    read_configuration(diffusion)
    assert diffusion == before


def test_keys_without_effect_are_named_once(diffusion: dict[str, Any]) -> None:
    assert read_configuration(diffusion).notes() != ()
    parameters = {"num_workers": 4, "save_image_epochs": 5, "image_size": [1, 2]}
    for key, value in parameters.items():
        change(diffusion, f"{PARAMETERS}.{key}", value)
    notes = read_configuration(diffusion).notes()
    for key in (*(f"{PARAMETERS}.{k}" for k in parameters),
                f"{FEATURES}.standardization.cache_folder"):  # fmt: skip
        assert len([note for note in notes if note.startswith(f"{key} has no counterpart: ")]) == 1
    assert all("\n" not in note for note in notes)


# --- the YAML itself ----------------------------------------------------------------------


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_and_its_mapping_give_the_same(tmp_path: Path, published: dict[str, Any]) -> None:
    file = written(tmp_path / "c.yml", yaml.safe_dump(published))
    assert read_configuration(file) == read_configuration(published)


@pytest.mark.parametrize("nested", [False, True])
def test_a_key_given_twice_is_refused(tmp_path: Path, nested: bool) -> None:
    text = yaml.safe_dump(DIFFUSION)
    line = "    seed: 2023\n" if nested else "training_configuration: {}\n"
    key = line.split(":")[0].strip()
    file = written(tmp_path / "c.yml", text + line if not nested else text.replace(line, 2 * line))
    with pytest.raises(OptionError, match=rf"line \d+: the key '{key}' is there twice"):
        read_configuration(file)


@pytest.mark.parametrize(
    "value",
    [
        "!!python/object/apply:os.system ['touch {folder}/ran']",
        "!!python/name:os.system",
        "!!python/object/new:pathlib.PosixPath ['{folder}']",
        "!custom 1",
    ],
)
def test_objects_are_not_built(tmp_path: Path, value: str) -> None:
    text = yaml.safe_dump(DIFFUSION) + f"validation: {value.format(folder=tmp_path)}\n"
    with pytest.raises(OptionError, match=r"line \d+: .*builds no objects"):
        read_configuration(written(tmp_path / "c.yml", text))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "is no YAML"),
        ("- 1\n- 2\n", "holds list where sections are expected"),
        ("", "holds NoneType where sections"),
        ("a: 1\n---\nb: 2\n", "is no YAML"),
        ("? [1, 2]\n: 3\n", "c.yml"),
    ],
)
def test_files_that_are_no_configuration(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        read_configuration(written(tmp_path / "c.yml", text))


def test_keys_that_are_no_text(diffusion: dict[str, Any]) -> None:
    diffusion[1] = "x"  # type: ignore[index]
    diffusion["training_configuration"][2.5] = "y"
    with pytest.raises(OptionError, match="has 2 errors"):
        read_configuration(diffusion)


def test_importing_the_package_is_light() -> None:
    code = "import sys, xdeepr.deepr_compat.configuration.command as c; c.add_command"
    heavy = "'pydantic', 'yaml', 'torch', 'diffusers'"
    code += f"; assert not {{{heavy}}} & set(sys.modules), sorted(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"none\.yml is missing: check the name"):
        read_configuration(tmp_path / "none.yml")


def test_anchors_may_be_merged(tmp_path: Path) -> None:
    """The period of the labels is that of the features: written once, used twice."""
    text = yaml.safe_dump(DIFFUSION).replace(
        "    test:\n", "    test: &period\n", 1
    ).replace("    validation:\n      end: 2017-12\n      frequency: MS\n      start: 2014-01\n",
              "    validation:\n      <<: *period\n      end: 2021-12\n")  # fmt: skip
    assert "<<" in text
    splits = read_configuration(written(tmp_path / "c.yml", text)).data_configuration
    assert splits.split_coverages.validation.start == "2018-01"
    assert splits.split_coverages.validation.end == "2021-12"


def test_variables_of_the_environment_and_the_home(
    diffusion: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDEEPR_TEST", "/here")
    monkeypatch.setenv("HOME", "/home/someone")
    change(diffusion, f"{FEATURES}.data_location", "${XDEEPR_TEST}/x")
    change(diffusion, "data_configuration.label_configuration.data_location", "~/y")
    data = read_configuration(diffusion).data_configuration
    assert data.features_configuration.location == "/here/x"
    assert data.label_configuration.location == "/home/someone/y"
