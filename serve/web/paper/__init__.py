"""The paper bar: an arXiv id or a file in, the paper's figures as thumbnails, one of them chosen."""
