"""What is measured, each against something measured in the same run: `script/bench` prints all of it as one table."""
