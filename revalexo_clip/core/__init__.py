"""What every room uses: components, errors, types, files, text and the console."""
