"""How far sampled requests are from what each head was measured on."""
