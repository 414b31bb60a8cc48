"""Section `write_submission`: the file that the challenge takes."""

from pydantic import Field

from pipeline.config.base import Section


class WriteSubmission(Section):
    """What the submission file says of itself, as ActivityNet's evaluation server asks."""

    external_data: bool | None = Field(
        None, description="whether data beyond ActivityNet was used, pretrained weights too; null: as the captions say"
    )
    details: str | None = Field(None, description="which data; null: as the captions say")
