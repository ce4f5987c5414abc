"""Inspections of random objects by random inspectors, published 双随机、一公开, by a draw that anyone can repeat."""
