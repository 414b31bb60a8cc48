"""Reading and re-encoding of videos, through PyAV and ffmpeg."""
