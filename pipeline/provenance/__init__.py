"""Where results come from, how two of them differ, and what would run next and why."""
