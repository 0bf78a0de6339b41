"""What a user says of a detector or a group, read and checked."""
