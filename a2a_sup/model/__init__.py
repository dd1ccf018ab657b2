"""What a tree is: pure data and decisions. Nothing here imports Trio or does I/O."""
