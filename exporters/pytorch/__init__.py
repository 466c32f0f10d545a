"""PyTorch programs, saved by torch.export."""
