"""The one exception that is written for the person who reads it."""


class PipelineError(Exception):
    """Something that the user can mend: says what, where (file, key, video) and what to do.

    Commands print it as one line and end with status 2; anything else is a fault of ours and keeps its traceback.
    """
