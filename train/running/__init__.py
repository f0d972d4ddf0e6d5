"""The run itself: the Trainer and its checkpoints, going on and stopping, many processes, what it tells, what it leaves."""
