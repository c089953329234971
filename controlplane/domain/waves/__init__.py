"""Waves: governed sets of changes, their files, gates, states and closeout receipts."""
