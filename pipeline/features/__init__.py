"""The feature store: extraction, import and export, and reading of clip features and pooled video features."""
