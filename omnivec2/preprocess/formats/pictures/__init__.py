"""Picture files: Pillow's formats, scientific TIFF, JPEG codestreams, FLIR thermal JPEG."""
