"""Contrastive pretraining of a vision tower on pairs of image and caption: what `train_contrastive.py` runs."""
