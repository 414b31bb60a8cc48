"""Section `bundle_model`: the folder that holds a trained model."""

from pydantic import Field

from pipeline.config.base import Section


class BundleModel(Section):
    """What the model card states and no result of the pipeline says."""

    TARGET = "results/{dataset}/model/manifest.json"

    title: str = Field("Dense video captioner", min_length=1, description="title of the model card")
    licence: str = Field(
        "other", min_length=1, description="licence of the model, as model hubs write it: apache-2.0, cc-by-4.0, other"
    )
    language: str = Field("en", min_length=2, description="language of the captions, ISO 639")
