"""The rules, and what they need around the stages."""
