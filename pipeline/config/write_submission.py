"""Section `write_submission`: the file that the challenge takes."""

from pydantic import Field

from pipeline.config.base import Section


class WriteSubmission(Section):
    """Statement on external data, which ActivityNet's evaluation server requires."""

    TARGET = "results/{dataset}_submission.json"

    external_data: bool | None = Field(
        None,
        description="whether data other than ActivityNet was used, including pretrained weights; null: as stated in the"
        " caption file",
    )
    details: str | None = Field(None, description="which external data was used; null: as stated in the caption file")
