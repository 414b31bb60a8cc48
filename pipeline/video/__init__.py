"""Reading and re-encoding video: one interface over PyAV and ffmpeg."""
