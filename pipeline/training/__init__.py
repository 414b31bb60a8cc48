"""What every training stage shares: device, seeds, resumable state, metrics log."""
