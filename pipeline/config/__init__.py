"""The typed configuration: one module per section, each importable alone."""
