"""Feature extractors: networks that turn windows of frames or sound into feature rows."""
