"""What belongs to the workflow rather than to the library."""
