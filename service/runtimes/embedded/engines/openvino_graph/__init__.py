"""What the OpenVINO engine does to a graph between its file and the compiler."""
