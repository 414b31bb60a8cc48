"""The commands for people, which no rule calls: `sa-tsp <command>`, one module each with a function `main(argv)`."""
