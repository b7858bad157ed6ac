"""The documented Offers MS, in both generations."""
