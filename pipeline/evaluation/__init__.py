"""Official scores of captions, proposals and detections, and the external programs that some of them need."""
