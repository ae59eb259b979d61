"""The catalogue of corrupt input: what is wrong, how it is made, and the treatment that is stated for it.

`catalogue.CASES` has all of it, made of one module for each kind of input; test_corrupt_cases.py checks every case.
"""
