"""Exported C headers on microcontroller architectures under QEMU."""
