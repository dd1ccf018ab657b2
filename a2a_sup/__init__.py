"""Erlang's supervision trees for Trio, and a supervisor that keeps real servers alive."""
