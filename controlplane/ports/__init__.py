"""What use cases need from the world; adapters fill these, fakes stand in for them in tests."""
