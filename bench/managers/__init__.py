"""Process managers: this one and others, told the same and watched from outside."""
