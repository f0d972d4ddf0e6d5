"""The commands of `llava-graph`, one module each; `llava_graph.cli` puts them together."""
