"""Fine-tuning of pretrained layers: low-rank updates, rates by layer, and what stays frozen."""
