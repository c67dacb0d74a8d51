"""What the stored points say: differences and reports."""
