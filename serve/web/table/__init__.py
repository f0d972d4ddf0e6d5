"""The chart's data as a table: what the record has, or what a table model reads from the chart."""
