"""What recovery points are made of beside their manifests."""
