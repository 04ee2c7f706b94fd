"""Adapters to optional libraries: a module is named after the library it needs, and nothing imports it unasked."""
