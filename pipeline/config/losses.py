"""Registry of the terms of the pretraining loss: L = sum over the terms of weight x term (SA-TSP, Equation 1).

This module imports no torch: it holds the settings of the terms and one `LossSpec` per term. To add a term, write one
module in `pipeline.encoders` with a subclass of `pipeline.encoders.losses.LossTerm`, and add one spec to `LOSSES`. Its
head, labels, validation metrics and training curves follow.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, GetJsonSchemaHandler, create_model, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from pipeline.config.base import Section
from pipeline.config.registry import Registry, Spec

Label = Literal["action", "region", "concepts"]
"""Labels of clips: the action class, the temporal region (foreground or background), the concepts of the sentences."""


class LossSettings(Section):
    """Settings of a term without further settings; a plain number stands for its weight."""

    weight: float = Field(1.0, ge=0, description="weight of the term in the sum; 0 leaves the term and its head out")

    @model_validator(mode="before")
    @classmethod
    def _number_is_weight(cls, value: Any) -> Any:
        return value if isinstance(value, dict | LossSettings) else {"weight": value}

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"anyOf": [{"type": "number", "minimum": 0}, handler(schema)]}


class AsymmetricLossSettings(LossSettings):
    """Settings of the asymmetric multi-label loss (Ben-Baruch et al., 2020). All zero: binary cross-entropy."""

    weight: float = Field(
        0.1, ge=0, description="weight of the term, a sum over the concepts; 0 leaves the term and its head out"
    )
    gamma_neg: float = Field(4.0, ge=0, description="focusing parameter of the negatives")
    gamma_pos: float = Field(1.0, ge=0, description="focusing parameter of the positives")
    margin: float = Field(0.05, ge=0, lt=1, description="negatives below this probability cost nothing")


@dataclass(frozen=True)
class LossSpec(Spec):
    """What the registry holds about a term.

    Attributes:
        labels: labels of the clips that the term needs. `region` makes the sampler draw background clips, `concepts`
            makes the stage read the concepts.
    """

    labels: tuple[Label, ...]


LOSSES = Registry(
    "loss term",
    [
        LossSpec(
            "action",
            "action class of foreground clips, cross-entropy (L_action)",
            LossSettings,
            "pipeline.encoders.losses:ActionTerm",
            labels=("action",),
        ),
        LossSpec(
            "region",
            "temporal region of clips, foreground or background, cross-entropy (L_region; alpha in the papers)",
            LossSettings,
            "pipeline.encoders.losses:RegionTerm",
            labels=("region",),
        ),
        LossSpec(
            "concepts",
            "semantic concepts of clips, asymmetric loss (L_semantic; beta in the paper)",
            AsymmetricLossSettings,
            "pipeline.encoders.losses:ConceptsTerm",
            labels=("concepts",),
        ),
    ],
)


class LossTerms(Section):
    """The terms of the loss: one field for each entry of `LOSSES`, None for an absent term."""

    def active(self) -> dict[str, LossSettings]:
        """Return the settings of the terms whose weight is above 0, by name, in the order of the registry."""
        terms = {name: getattr(self, name) for name in LOSSES}
        return {name: term for name, term in terms.items() if term is not None and term.weight > 0}

    def needs(self, label: Label) -> bool:
        """Whether an active term needs a label of the clips."""
        return any(label in LOSSES[name].labels for name in self.active())

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if not self.active():
            raise ValueError(f"no term has a weight above 0; the terms are {', '.join(LOSSES)}")
        return self


if TYPE_CHECKING:
    Losses = LossTerms
else:
    Losses = create_model(
        "Losses",
        __base__=LossTerms,
        __doc__=LossTerms.__doc__,
        **{name: (spec.settings | None, Field(None, description=spec.description)) for name, spec in LOSSES.items()},
    )


def build_losses(**weights: float) -> Losses:
    """Return the loss with the given weights; terms that are not named are absent."""
    return Losses.parse(weights, "losses")
