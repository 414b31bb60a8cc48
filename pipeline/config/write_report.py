"""Section `write_report`: score tables, training curves and the page."""

from pydantic import Field

from pipeline.config.base import Section


class WriteReport(Section):
    """Content of the report."""

    title: str = Field("Dense video captions", description="heading of the page")
    videos: int = Field(
        12, ge=0, description="number of test videos shown with their captions, evenly spaced in the list"
    )
