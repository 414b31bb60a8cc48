"""Section `write_report`: the tables, the pictures and the page."""

from pydantic import Field

from pipeline.config.base import Section


class WriteReport(Section):
    """What the report shows."""

    title: str = Field("Dense video captions", description="heading of the page")
    videos: int = Field(12, ge=0, description="videos shown with their captions, spread evenly over the split test")
