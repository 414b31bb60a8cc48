"""One adapter per annotation format, all ending in the corpus schema."""
