"""One pass over videos for any number of extractors: frames and sound, windows of them, batches, what is kept."""
