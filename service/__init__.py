"""The HTTP gateway: any modality and any task of the loaded heads behind one address."""
