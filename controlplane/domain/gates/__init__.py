"""Gates: which checks a pack runs, in which mode on each host, and how a check is earned from report to enforce."""
