"""Files that clients give, whole or in parts, and those that jobs leave."""
