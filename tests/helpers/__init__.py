"""What several tests share: small corpora, files and runs that they make."""
