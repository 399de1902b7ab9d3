"""File formats of checkpoints: `.ckpt`, safetensors, PyTorch `.bin`; headers, no values."""
