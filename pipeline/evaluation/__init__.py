"""The official scores, and the processes that compute them."""
