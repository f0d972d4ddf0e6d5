"""What a run will do, said before it does it: the plan, the memory it takes, the length audit, doubts."""
