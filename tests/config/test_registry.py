"""The registry of parts: names, specs, and the errors of a wrong entry."""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import registry as registry_module
from pipeline.config.registry import NoSettings, Registry, Spec
from pipeline.errors import PipelineError

BUILD = "pipeline.evaluation.rouge:RougeMetric"


@dataclass(frozen=True)
class SizedSpec(Spec):
    """A spec with fields of its own."""

    size: int
    note: str = "-"


def spec(name: str = "small", **fields: Any) -> SizedSpec:
    values = {"name": name, "description": "a part", "settings": NoSettings, "build": BUILD, "size": 3}
    return SizedSpec(**values | fields)


def test_registry_maps_names_to_specs_in_their_order() -> None:
    registry = Registry("part", [spec("b"), spec("a")])
    assert list(registry) == ["b", "a"]
    assert registry["a"].size == 3
    assert copy.deepcopy(registry["a"]) == copy.copy(registry["a"]) == registry["a"]
    assert registry["a"].load().__name__ == "RougeMetric"


def test_registry_refuses_a_name_that_is_taken() -> None:
    other = "pipeline.evaluation.bleu:BleuMetric"
    with pytest.raises(PipelineError, match=r"part 'small' is registered twice: .*rouge:.* and .*bleu:.*rename"):
        Registry("part", [spec(), spec(build=other)])


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"build": ""}, "part 'small': empty in the spec: build"),
        ({"description": "", "size": None}, "part 'small': empty in the spec: description, size"),
        ({"build": "evaluation.rouge:RougeMetric"}, "build = 'evaluation.rouge:RougeMetric'; expected pipeline."),
        ({"build": "pipeline.evaluation.rouge"}, "build = 'pipeline.evaluation.rouge'; expected pipeline."),
    ],
)
def test_registry_refuses_an_incomplete_spec(fields: dict[str, Any], expected: str) -> None:
    with pytest.raises(PipelineError) as error:
        Registry("part", [spec(**fields)])
    assert expected in str(error.value)


def test_spec_names_the_fields_that_are_missing() -> None:
    with pytest.raises(PipelineError, match=r"^SizedSpec 'small': missing in the spec: build, size$"):
        SizedSpec(name="small", description="a part", settings=NoSettings)  # type: ignore[call-arg]
    with pytest.raises(PipelineError, match=r"^SizedSpec 'small': missing in the spec: size$"):
        SizedSpec("small", "a part", NoSettings, BUILD)  # type: ignore[call-arg]


def test_spec_names_the_nearest_field_of_a_wrong_keyword() -> None:
    with pytest.raises(PipelineError, match=r"^SizedSpec 'small': no field 'siz'; did you mean 'size'\?$"):
        spec(siz=4)


def test_registry_names_the_nearest_part() -> None:
    with pytest.raises(PipelineError, match="no part 'smal'; did you mean 'small'"):
        Registry("part", [spec()])["smal"]


def test_load_names_the_file_that_is_expected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = spec(build="pipeline.evaluation.no_such_metric:NoSuchMetric")
    monkeypatch.setattr(registry_module, "ROOT", tmp_path)
    with pytest.raises(PipelineError) as error:
        wrong.load()
    assert str(error.value).endswith("; expected the file pipeline/evaluation/no_such_metric.py")
    (tmp_path / "pipeline" / "captioning").mkdir(parents=True)
    (tmp_path / "pipeline" / "captioning" / "no_such_metric.py").touch()
    with pytest.raises(PipelineError) as error:
        wrong.load()
    move = "expected the file pipeline/evaluation/no_such_metric.py; move pipeline/captioning/no_such_metric.py there"
    assert str(error.value).endswith(move)


def test_load_names_a_class_that_does_not_exist() -> None:
    with pytest.raises(PipelineError, match=r"'small': build = .*'pipeline.evaluation.rouge'.* 'Rouge'$"):
        spec(build="pipeline.evaluation.rouge:Rouge").load()
