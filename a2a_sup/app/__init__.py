"""How it starts: the files it runs, the commands, the program around a tree."""
