"""Files written whole, tables, locks, and workers in processes of their own."""
