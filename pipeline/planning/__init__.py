"""What a run costs on a machine: the work of each job, measured rates, and a simulation of the scheduler."""
