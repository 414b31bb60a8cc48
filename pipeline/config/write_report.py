"""Section `write_report`: score tables, training curves and the page."""

from pydantic import Field

from pipeline.config.base import Section


class WriteReport(Section):
    """Content of the report."""

    title: str = Field("Dense video captions", description="heading of the page")
    videos: int | None = Field(
        None, ge=0, description="number of test videos on the page, evenly spaced in their list; null: all"
    )
