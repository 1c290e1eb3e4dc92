"""The cases: each a function marked @case, in a module of the subject it belongs to."""
