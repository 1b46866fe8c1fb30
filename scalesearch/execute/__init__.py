"""Where trainings run: in this process, in local processes, on a Ray cluster. Imports plan, and Ray where it is asked for."""
