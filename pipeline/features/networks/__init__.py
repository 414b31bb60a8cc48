"""What turns windows of a video, pictures or sound, into features."""
