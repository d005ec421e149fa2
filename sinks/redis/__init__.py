"""What may be lost: live status in Redis."""
