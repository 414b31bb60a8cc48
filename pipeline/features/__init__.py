"""How payloads, manifests and tables are written and read back: atomically, checked, with their origin."""
