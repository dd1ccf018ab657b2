"""Erlang's external term format, as far as scenarios and their reports need it."""

from __future__ import annotations

import struct
from typing import TypeAlias, Union

VERSION = 131


class Atom(str):
    """An Erlang atom. A plain string becomes a binary."""

    __slots__ = ()


Term: TypeAlias = Union[str, int, "list[Term]", "tuple[Term, ...]"]


def encode(term: Term) -> bytes:
    """Return ``term`` as ``binary_to_term`` reads it."""
    out = bytearray([VERSION])
    _encode(term, out)
    return bytes(out)


def _encode(term: Term, out: bytearray) -> None:
    match term:
        case bool():
            _encode(Atom("true" if term else "false"), out)
        case int():
            out += struct.pack(">Bi", 98, term)
        case str():
            text = term.encode()
            if isinstance(term, Atom):
                out += struct.pack(">BB", 119, len(text))
            else:
                out += struct.pack(">BI", 109, len(text))
            out += text
        case tuple():
            out += struct.pack(">BB", 104, len(term))
            for item in term:
                _encode(item, out)
        case list():
            if term:
                out += struct.pack(">BI", 108, len(term))
                for item in term:
                    _encode(item, out)
            out.append(106)


def decode(data: bytes) -> Term:
    """Return the term that ``term_to_binary`` made ``data`` from. Binaries become strings."""
    if data[0] != VERSION:
        raise ValueError(f"not a term: {data[:20]!r}")
    return _Reader(data).term()


_SIZES_OF_ATOMS = {100: 2, 115: 1, 118: 2, 119: 1}  # bytes that hold the length, by tag


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 1

    def term(self) -> Term:
        tag = self._number(1)
        if tag in _SIZES_OF_ATOMS:
            return Atom(self._text(_SIZES_OF_ATOMS[tag]))
        return self._atomless(tag)

    def _atomless(self, tag: int) -> Term:
        term: Term = []
        match tag:
            case 97:
                term = self._number(1)
            case 98:
                term = int.from_bytes(self._bytes(4), "big", signed=True)
            case 104:
                term = tuple(self._terms(self._number(1)))
            case 106:
                pass
            case 107:  # a list of small numbers
                term = [*self._bytes(self._number(2))]
            case 108:
                term = self._terms(self._number(4))
                self._number(1)  # the empty list at its end
            case 109:
                term = self._text(4)
            case _:
                raise ValueError(f"unexpected tag {tag}")
        return term

    def _terms(self, count: int) -> list[Term]:
        return [self.term() for _ in range(count)]

    def _text(self, size: int) -> str:
        return self._bytes(self._number(size)).decode()

    def _number(self, size: int) -> int:
        return int.from_bytes(self._bytes(size), "big")

    def _bytes(self, count: int) -> bytes:
        start, self._at = self._at, self._at + count
        return self._data[start : self._at]
