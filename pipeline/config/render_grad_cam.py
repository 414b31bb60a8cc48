"""Section `render_grad_cam`: where a recognizer looks."""

from typing import Literal

from pydantic import Field

from pipeline.config.base import Device, Section, device_field


class RenderGradCam(Section):
    """Grad-CAM of the predicted class and of each word of the predicted caption, over the frames."""

    TARGET = "results/{dataset}/grad_cam/joint-test/manifest.json"

    clips: int = Field(6, ge=1, description="number of clips, the first by id")
    method: Literal["plain", "notebook", "script"] = Field(
        "plain",
        description="plain: relu of the weighted activations; notebook: the formulas of the authors' notebooks, with "
        "an offset of 1 and weights divided by the largest one; script: that of their script, of the fourth "
        "convolution, with an offset of 1",
    )
    decoding: Literal["greedy", "forced"] = Field(
        "greedy", description="what the decoder reads: its own words (greedy), or the annotated caption (forced)"
    )
    columns: int = Field(8, ge=1, description="frames of a picture")
    fps: float = Field(6.0, gt=0, description="frames per second of the videos")
    device: Device = device_field()
