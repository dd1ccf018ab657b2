"""Supervision trees: this one, triotp's, OTP's, and none."""
