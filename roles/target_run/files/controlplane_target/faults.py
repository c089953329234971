"""The three ways in which a verb ends other than well; each message says what, where and what next."""

from __future__ import annotations


class TargetFault(Exception):  # noqa: N818 - the faults below are its readable forms
    """Any expected end of a verb that is not success."""

    code = 1


class RefusedFault(TargetFault):
    """A guard said no before anything was changed; exit code 4."""

    code = 4


class FailedFault(TargetFault):
    """Something did not work; the message says on which place the services run now. Exit code 1."""


class CancelledFault(TargetFault):
    """SIGTERM came while it was still possible to go back."""
