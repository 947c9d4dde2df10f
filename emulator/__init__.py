"""A local Amazon Athena (for Apache Spark calculations) and Amazon S3 that really run the code.

Start it with ``python3 -m emulator``; README.md says what it does and what it does not.
It needs Python 3.9 or later and nothing but the standard library.
"""
