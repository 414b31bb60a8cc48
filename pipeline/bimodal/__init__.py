"""The encoder of the bi-modal transformer, which a captioner and a proposer share (Iashin and Rahtu, 2020)."""
