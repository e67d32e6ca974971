"""What a person sees in the morning."""
