"""What is stored of an image, and what two images share in it (docs/method.md, step 1)."""
