"""Fakes of hosted APIs over real HTTP on loopback, written from their public documents."""
