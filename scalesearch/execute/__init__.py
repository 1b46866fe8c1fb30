"""Executors: train in this process, in local processes or on a Ray cluster. May import plan; imports Ray on demand."""
