"""How a tree lives: supervisors, incarnations, events. Trio only: no sockets, no processes."""
