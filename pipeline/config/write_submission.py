"""Section `write_submission`: the file that the challenge takes."""

from pydantic import Field

from pipeline.config.base import Section


class WriteSubmission(Section):
    """What the submission file says of itself, as ActivityNet's evaluation server asks."""

    external_data: bool = Field(True, description="whether data beyond ActivityNet was used, pretrained weights too")
    details: str = Field(
        "Clip encoder initialised from weights trained on IG-65M and Kinetics-400.", description="which data"
    )
