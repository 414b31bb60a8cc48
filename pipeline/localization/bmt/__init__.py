"""The proposal generator of the bi-modal transformer (Iashin and Rahtu, 2020, section 3.3)."""
