"""The controller: who serves which model."""
