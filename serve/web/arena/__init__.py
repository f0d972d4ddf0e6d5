"""Two models answer the same question about the same figure without their names, and the visitor says which is better."""
