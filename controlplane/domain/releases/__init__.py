"""Releases of a compose stack: what one is, what it has to satisfy, and how it gets from staging to production and back.

`values` is what a file under releases/ says, `manifest` which images a release is, `contract` what an environment file has to hold,
`compose_view` what a compose file would do, `wanted` what one host is to run, `gate` whether a release may be promoted.
"""
