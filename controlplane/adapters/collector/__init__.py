"""What runs on the host: standard library of Python 3.9 only, no import from outside this package; `bundle` joins it into one payload."""
