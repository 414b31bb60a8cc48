"""The bi-modal transformer as a captioner (Iashin and Rahtu, 2020)."""
